// A simulated terminal that does what the platform says, as a real one of its version would: keeps
// parameters and areas, reports, photographs, lists recordings, uploads attachments, is asked again
// for what was lost. Every message of the platform is answered; what it does not know, with
// "unsupported". Pure: frames and time come in, frames and wishes go out. One thread.
//
// Made when the first command for a device arrives; costs some kilobytes from then on.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/load/terminal/areas.hpp"
#include "tools/load/terminal/attachment.hpp"
#include "tools/load/terminal/chance.hpp"
#include "tools/load/terminal/events.hpp"
#include "tools/load/terminal/media.hpp"
#include "tools/load/terminal/packets.hpp"
#include "tools/load/terminal/parameters.hpp"
#include "tools/load/terminal/playback.hpp"

namespace ringgate::load {

struct TerminalOptions {
  Version version = Version::v2013;
  bool udp = false;
  double loss = 0;          // chance of each part of a message, and of each block, to get lost
  std::uint64_t seed = 1;   // with the phone number it sets all that happens by chance
  bool has_events = false;
};

// When and where something happens, and the device's counter of serials.
struct Moment {
  MonoNs now = 0;
  WallUs wall = 0;
  Position position;
  std::uint16_t* next_serial = nullptr;
};

// What the terminal wants done, in order.
struct Outbox {
  std::vector<Uplink> frames;
  std::vector<std::unique_ptr<AttachmentUpload>> uploads;  // each over a connection of its own
  struct File {
    std::string name;
    Body content;
  };
  std::vector<File> files;  // what was photographed or recorded, for who wants to compare
  std::string events;       // JSON lines
  MonoNs away_ns = -1;      // not negative: once `frames` are sent, hang up and be away so long

  bool empty() const {
    return frames.empty() && uploads.empty() && files.empty() && events.empty() && away_ns < 0;
  }
};

class Terminal {
 public:
  Terminal(const TerminalOptions& options, std::uint64_t phone_number, WallUs wall);

  // A frame of the platform that is neither 0x8001 nor 0x8100.
  void on_downlink(const Downlink& frame, const Moment& moment, Outbox& out);
  // A 0x8001. False: nothing of this terminal waits for it.
  bool on_answer(std::uint16_t answered_id, std::uint16_t serial, std::uint8_t result,
                 const Moment& moment, Outbox& out);
  // Something is due. Call it at next_due() (monotonic; INT64_MAX: never).
  void on_time(const Moment& moment, Outbox& out);
  MonoNs next_due() const;
  // The link is gone: so is everything that was on it. What is to be uploaded waits.
  void on_link_down();
  void on_online(const Moment& moment, Outbox& out);
  // How an upload ended that this terminal had ordered.
  void on_upload_end(const AttachmentUpload& upload, std::string_view problem,
                     const Moment& moment, Outbox& out);

  // The driver assistant sees something: a 0x0200 with item 0x64 or 0x65 (T/JSATL 12).
  void raise_alarm(const Moment& moment, Outbox& out);
  // What commands have changed of the vehicle: doors, alarms.
  void adjust(Position& position) const;

  const Parameters& parameters() const { return parameters_; }
  const Areas& areas() const { return areas_; }
  const MediaStore& media() const { return media_; }

 private:
  // A message that waits for its answer, or whose parts may be asked for.
  struct Sent {
    std::uint16_t message_id = 0;
    std::uint32_t media_id = 0;  // 0x0801: ended by a 0x8800 of this id
    std::vector<Uplink> parts;
    std::vector<bool> answered;
    std::vector<std::uint8_t> lost;  // how often each has been lost
    std::uint32_t tries = 1;
    MonoNs wait_ns = 0;
    MonoNs due_ns = 0;
  };
  // A command that was answered: should it come again, so do the answers.
  struct Done {
    std::uint16_t message_id = 0;
    std::uint16_t serial = 0;
    Body body;
    std::vector<Uplink> answers;
  };
  struct Later {
    MonoNs due_ns = 0;
    std::uint16_t message_id = 0;
    Body body;
    std::uint16_t command_serial = 0;
  };
  struct Tracking {
    std::uint16_t interval_s = 0;  // 0: off
    MonoNs due_ns = 0;
    MonoNs end_ns = 0;
  };
  struct Shooting {
    std::uint16_t serial = 0;
    std::uint8_t channel = 1;
    std::uint16_t left = 0;
    MonoNs interval_ns = 0;
    MonoNs due_ns = 0;
    bool keeps = false;
    PictureSize size;
    std::vector<std::uint32_t> ids;
  };
  struct Listening {
    MonoNs from_ns = 0;
    MonoNs due_ns = 0;
    bool keeps = false;
    std::uint32_t samples_per_s = 8'000;
  };
  struct Upload {
    std::uint32_t media_id = 0;
    bool removes = false;  // from the terminal, when it has arrived
    std::uint32_t tries = 1;
  };
  struct Handler {
    std::uint16_t message_id;
    void (Terminal::*act)(const Command&);
  };
  static const Handler handlers[];
  // While a call from outside lasts.
  struct Scope {
    Scope(Terminal& terminal, const Moment& moment, Outbox& out);
    ~Scope();
    Terminal& terminal;
  };

  // Sending (terminal.cpp).
  void obey(const Command& command);
  void answer(const Command& command, std::uint8_t result);
  void send(std::uint16_t message_id, Bytes body, std::uint32_t media_id = 0);
  bool emit(const Uplink& part, std::uint8_t& lost, bool may_be_lost);
  void resend(Sent& sent, const std::vector<std::uint16_t>& numbers);
  void resend_overdue();
  void later(std::uint32_t from_ms, std::uint32_t to_ms, std::uint16_t message_id, Body body,
             std::uint16_t command_serial = 0);
  EventLine note(std::string_view name);
  void ask_missing();

  // Position and state (terminal.cpp).
  Position here() const;
  PositionBytes position_bytes(const Position& position) const;
  void report(std::uint32_t alarm_bits, Bytes items);
  void drive();
  void track();

  // Commands (commands.cpp).
  void ignore(const Command&) {}
  void accept(const Command& command);
  void resend_parts(const Command& command);
  void set_parameters(const Command& command);
  void tell_parameters(const Command& command);
  void control(const Command& command);
  void tell_attributes(const Command& command);
  void upgrade(const Command& command);
  void tell_position(const Command& command);
  void start_tracking(const Command& command);
  void confirm_alarm(const Command& command);
  void probe(const Command& command);
  void show_text(const Command& command);
  void set_menu(const Command& command);
  void ask_driver(const Command& command);
  void set_demands(const Command& command);
  void control_vehicle(const Command& command);
  void control_vehicle_2013(const Command& command, Bytes body);
  void set_area(const Command& command);
  void remove_area(const Command& command);
  void tell_areas(const Command& command);
  void read_recorder(const Command& command);
  void tell_driver(const Command& command);
  void pass_through(const Command& command);
  void exchange_keys(const Command& command);

  // Media (media_commands.cpp).
  void photograph(const Command& command);
  void shoot();
  void end_shooting();
  void list_media(const Command& command);
  void upload_media(const Command& command);
  void upload_one(const Command& command);
  void record_sound(const Command& command);
  void end_sound();
  void on_media_answer(const Command& command);
  void keep(MediaItem item);
  void want_upload(std::uint32_t media_id, bool removes);
  void start_upload();
  void end_upload(bool arrived);
  void upload_anew();
  void tell_media_attributes(const Command& command);
  Playback playback() const;
  void tell_recordings(const Command& command);
  void play_back(const Command& command);
  void upload_recordings(const Command& command);
  void control_recording_upload(const Command& command);
  void attach(const Command& command);

  TerminalOptions options_;
  WallUs made_us_;  // when its recordings end
  std::uint64_t number_;
  std::string phone_;
  std::string plate_;
  std::string terminal_id_;
  Chance chance_;
  Packer packer_;
  Assembly assembly_;
  Parameters parameters_;
  Areas areas_;
  MediaStore media_;

  std::uint32_t status_on_ = 0, status_off_ = 0;  // what commands have set and cleared
  std::uint32_t alarm_bits_ = 0;                  // that stand until they are confirmed
  std::map<std::uint8_t, Body> menu_;
  Tracking tracking_;
  Shooting shooting_;
  Listening listening_;
  MonoNs drive_due_ns_ = INT64_MAX;
  std::vector<Later> later_;
  std::deque<Sent> sent_;
  std::deque<Done> done_;
  std::deque<std::uint32_t> answered_;  // message id and serial
  std::deque<Upload> uploads_;  // the first one is under way if uploading_
  bool uploading_ = false;
  bool online_ = true;
  std::uint32_t next_alarm_ = 1;
  std::uint8_t alarm_place_ = 0;  // among those of one second
  std::map<std::string, std::uint16_t> alarm_kinds_;  // by sign

  const Moment* moment_ = nullptr;
  Outbox* out_ = nullptr;
  Done* answering_ = nullptr;
};

}  // namespace ringgate::load
