// One upload of an alarm's attachments to the attachment server, as T/JSATL 12-2017 chapter 5 has
// it: 0x1210, then for each file 0x1211, blocks of its data, 0x1212, and what the server's 0x9212
// still misses. Blocks may be lost, doubled, out of order, and the connection may break on purpose.
// Pure: the caller has the connection. One thread.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tools/load/frames.hpp"
#include "tools/load/terminal/body.hpp"
#include "tools/load/terminal/chance.hpp"
#include "tools/load/terminal/packets.hpp"

namespace ringgate::load {

// What a 0x9208 orders.
struct AttachmentOrder {
  std::string host;
  std::uint16_t tcp_port = 0;
  Body sign;          // the alarm's sign: 16 bytes, in provincial variants 38 to 40
  std::string number;  // the platform's number of the alarm: 32 bytes, may end in 00

  // In front of the sign in 0x1210. Heilongjiang's has none.
  std::size_t terminal_id_bytes() const {
    return sign.size() == 16 ? 7 : sign.size() == 38 ? 0 : 30;
  }
  std::uint8_t attachments() const;  // how many the sign promises
};
bool read_order(Bytes body, AttachmentOrder& out);

struct AttachmentFile {
  std::string name;
  std::uint8_t type = 0;  // 0 picture, 1 audio, 2 video, 3 text, 4 other
  Body content;
};

// What a terminal of T/JSATL 12 attaches to an alarm of this kind (0x6401: ADAS, forward
// collision).
std::vector<AttachmentFile> make_attachments(const AttachmentOrder& order, std::uint16_t alarm_kind,
                                             Chance& chance);

class AttachmentUpload {
 public:
  AttachmentUpload(const Packer& packer, std::string terminal_id, AttachmentOrder order,
                   std::vector<AttachmentFile> files, double loss, Chance chance);

  const AttachmentOrder& order() const { return order_; }
  const std::vector<AttachmentFile>& files() const { return files_; }

  // A new connection is up.
  void on_connected();
  // What to send next; empty: it waits for an answer, is done, or wants the connection cut.
  Body next();
  void on_bytes(Bytes bytes);

  bool finished() const { return state_ == State::finished; }
  // Not empty: the server has refused; nothing more will be sent.
  const std::string& problem() const { return problem_; }
  // Hang up now and connect again.
  bool wants_cut() const { return state_ == State::cut; }

  // What happened, for people and tests.
  struct Tally {
    std::uint32_t blocks = 0;  // sent, doubles included
    std::uint32_t lost = 0;
    std::uint32_t doubled = 0;
    std::uint32_t asked_again = 0;  // ranges in 0x9212
    std::uint32_t cuts = 0;
  };
  const Tally& tally() const { return tally_; }

  static constexpr std::uint32_t block_bytes = 65'536;  // T/JSATL 12-2017 table 24
  // A range is lost at most so often: the server's patience is limited, and so is a test's.
  static constexpr std::uint32_t lost_max = 2;

 private:
  enum class State : std::uint8_t {
    idle, say_list, await_list, say_file, await_file, data, say_end, await_end, cut, refused,
    finished
  };
  struct Block {
    std::uint32_t offset;
    std::uint32_t size;
  };

  void on_frame(Bytes inside);
  void on_end_reply(Bytes body);
  void plan(std::vector<Block> blocks);  // what is to be sent, after loss and disorder
  void plan_file();
  Body frame(std::uint16_t message_id, Bytes body);
  Body list_frame();
  Body file_frame(std::uint16_t message_id);
  Body block(const Block& block) const;

  Packer packer_;
  std::string terminal_id_;
  AttachmentOrder order_;
  std::vector<AttachmentFile> files_;
  double loss_;
  Chance chance_;
  Version version_;
  State state_ = State::idle;
  std::string problem_;
  Body rest_;  // of a frame that has not ended
  ReplyScratch scratch_{};
  std::uint16_t next_serial_ = 0;
  std::size_t file_ = 0;
  std::vector<Block> plan_;      // to be sent, the last one first
  std::size_t cut_left_ = 0;     // cut the connection when so many are left; 0: don't
  bool planned_ = false;         // the file's blocks have been planned
  std::uint32_t losses_ = 0;     // rounds of this file in which something was lost
  Tally tally_;
};

}  // namespace ringgate::load
