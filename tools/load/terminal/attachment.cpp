#include "tools/load/terminal/attachment.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include "tools/load/terminal/media.hpp"

namespace ringgate::load {
namespace {

constexpr std::size_t sign_time_at(std::size_t sign_bytes) { return sign_bytes == 16 ? 7 : 30; }
constexpr std::size_t number_bytes = 32;
constexpr std::size_t name_bytes = 50;
// The longest thing a server says is a 0x9212 with 255 ranges, in parts of no more than a frame.
constexpr std::size_t rest_bytes_max = 4096;

}  // namespace

std::uint8_t AttachmentOrder::attachments() const {
  return sign[sign_time_at(sign.size()) + 7];  // behind time and number
}

bool read_order(Bytes body, AttachmentOrder& out) {
  BodyReader in(body);
  out.host = as_text(in.take(in.u8()));
  out.tcp_port = in.u16();
  in.u16();  // UDP: nobody offers it
  // Behind the sign: 32 bytes of number and 16 reserved. What is left is the sign, and its size
  // tells the province: 16 (T/JSATL 12), 38 (Heilongjiang), 39 (Sichuan), 40 (Guangdong).
  if (!in.ok() || in.left() < 16 + number_bytes + 16) return false;
  const std::size_t sign_bytes = in.left() - number_bytes - 16;
  if (sign_bytes != 16 && (sign_bytes < 38 || sign_bytes > 40)) return false;
  const Bytes sign = in.take(sign_bytes);
  out.sign.assign(sign.begin(), sign.end());
  out.number = as_text(in.take(number_bytes));
  return out.tcp_port != 0 && !out.host.empty();
}

namespace {

// <kind>_<channel>_<alarm>_<place>_<number>.<extension>, T/JSATL 12-2017 table 19.
std::string file_name(const AttachmentOrder& order, std::uint8_t type, std::uint16_t alarm_kind,
                      std::size_t place, std::string_view extension) {
  char head[32];
  std::snprintf(head, sizeof head, "%02u_%02x_%04x_%u_", unsigned{type}, alarm_kind >> 8U,
                unsigned{alarm_kind}, static_cast<unsigned>(place % 10));
  std::string name = head;
  name += order.number.substr(0, order.number.find('\0'));
  name += '.';
  name += extension;
  return name;
}

// Vehicle state, T/JSATL 12-2017 table 20: blocks of 64 bytes, one a tenth of a second.
Body make_states(std::uint32_t blocks, Chance& chance) {
  BodyWriter out;
  for (std::uint32_t i = 1; i <= blocks; ++i) {
    const std::size_t from = out.body().size();
    out.u32(blocks).u32(i).u32(0).u32(3).u32(31'230'416 + i * 3).u32(121'473'701 + i * 5);
    out.u16(12).u16(600 - i % 100).u16(90).fixed({}, 6);
    for (int axis = 0; axis < 6; ++axis) out.u16(chance.below(200));
    out.u16(chance.below(1000)).u16(0).u8(4).u8(chance.below(100)).u8(chance.below(100)).u8(0);
    out.u16(1800 + chance.below(400)).u16(chance.below(90)).u8(0).fixed({}, 2);
    std::uint8_t sum = 0;
    for (std::size_t at = from; at < out.body().size(); ++at) {
      sum = static_cast<std::uint8_t>(sum + out.body()[at]);
    }
    out.u8(sum);
  }
  return out.take();
}

}  // namespace

std::vector<AttachmentFile> make_attachments(const AttachmentOrder& order, std::uint16_t alarm_kind,
                                             Chance& chance) {
  std::vector<AttachmentFile> files;
  const std::size_t count = std::clamp<std::size_t>(order.attachments(), 1, 10);
  for (std::size_t i = 0; i < count; ++i) {
    switch (i % 3) {
      case 0:
        files.push_back({file_name(order, 0, alarm_kind, i, "jpg"), 0,
                         make_jpeg(704, 576, chance)});
        break;
      case 1:
        files.push_back({file_name(order, 2, alarm_kind, i, "h264"), 2,
                         make_h264(200'000 + chance.below(200'000), chance)});
        break;
      default:
        files.push_back({file_name(order, 4, alarm_kind, i, "bin"), 4, make_states(300, chance)});
        break;
    }
  }
  return files;
}

AttachmentUpload::AttachmentUpload(const Packer& packer, std::string terminal_id,
                                   AttachmentOrder order, std::vector<AttachmentFile> files,
                                   double loss, Chance chance)
    : packer_(packer), terminal_id_(std::move(terminal_id)), order_(std::move(order)),
      files_(std::move(files)), loss_(loss), chance_(chance), version_(packer.version()) {}

void AttachmentUpload::on_connected() {
  rest_.clear();
  next_serial_ = 0;
  if (state_ != State::finished && state_ != State::refused) state_ = State::say_list;
}

Body AttachmentUpload::next() {
  switch (state_) {
    case State::say_list:
      state_ = State::await_list;
      return list_frame();
    case State::say_file:
      state_ = State::await_file;
      return file_frame(0x1211);
    case State::data: {
      if (plan_.empty()) {
        state_ = State::await_end;
        return file_frame(0x1212);
      }
      if (cut_left_ > 0 && plan_.size() <= cut_left_) {
        cut_left_ = 0;
        ++tally_.cuts;
        state_ = State::cut;
        return {};
      }
      const Block one = plan_.back();
      plan_.pop_back();
      ++tally_.blocks;
      return block(one);
    }
    case State::say_end:
      state_ = State::await_end;
      return file_frame(0x1212);
    default: return {};
  }
}

// The server's side of the connection is frames only.
void AttachmentUpload::on_bytes(Bytes bytes) {
  for (const std::uint8_t byte : bytes) {
    if (byte != 0x7e) {
      if (rest_.size() < rest_bytes_max) rest_.push_back(byte);
      continue;
    }
    if (!rest_.empty()) on_frame(rest_);
    rest_.clear();
  }
}

void AttachmentUpload::on_frame(Bytes inside) {
  Reply reply;
  const ReplyKind kind = parse_reply(inside, version_, scratch_, reply);
  if (kind == ReplyKind::broken) {
    problem_ = "a broken frame";
    state_ = State::refused;
  } else if (kind == ReplyKind::general) {
    const bool is_list = reply.answered_id == 0x1210 && state_ == State::await_list;
    const bool is_file = reply.answered_id == 0x1211 && state_ == State::await_file;
    if (!is_list && !is_file) return;
    if (reply.result != 0) {
      problem_ = is_list ? "0x1210 refused" : "0x1211 refused";
      state_ = State::refused;
    } else if (is_list) {
      state_ = State::say_file;
    } else {
      if (!planned_) plan_file();
      state_ = State::data;
    }
  } else if (kind == ReplyKind::other && reply.message_id == 0x9212) {
    on_end_reply(read_downlink(reply.raw, version_).body);
  }
}

void AttachmentUpload::on_end_reply(Bytes body) {
  if (state_ != State::await_end) return;
  BodyReader in(body);
  const std::string_view name = as_text(in.take(in.u8()));
  in.u8();  // type
  const std::uint8_t result = in.u8();
  const std::uint8_t count = in.u8();
  std::vector<Block> missing;
  const auto size = static_cast<std::uint32_t>(files_[file_].content.size());
  for (int i = 0; i < count && in.ok(); ++i) {
    Block one{.offset = in.u32(), .size = in.u32()};
    if (one.offset >= size || one.size > size - one.offset) continue;  // nothing of this file
    for (; one.size > block_bytes; one.offset += block_bytes, one.size -= block_bytes) {
      missing.push_back({one.offset, block_bytes});
    }
    missing.push_back(one);
  }
  if (!in.ok() || name != files_[file_].name) return;
  if (result == 0) {
    planned_ = false;
    state_ = ++file_ < files_.size() ? State::say_file : State::finished;
    return;
  }
  tally_.asked_again += count;
  plan(std::move(missing));
  state_ = State::data;
}

void AttachmentUpload::plan_file() {
  const auto size = static_cast<std::uint32_t>(files_[file_].content.size());
  std::vector<Block> blocks;
  for (std::uint32_t at = 0; at < size; at += block_bytes) {
    blocks.push_back({at, std::min(block_bytes, size - at)});
  }
  losses_ = 0;
  planned_ = true;
  plan(std::move(blocks));
  // One file in four loses its connection half way, if anything may go wrong at all.
  if (loss_ > 0 && plan_.size() > 1 && chance_.below(4) == 0) cut_left_ = plan_.size() / 2;
}

void AttachmentUpload::plan(std::vector<Block> blocks) {
  plan_.clear();
  const std::uint32_t lost_before = tally_.lost;
  for (const Block& one : blocks) {
    if (losses_ < lost_max && chance_.hits(loss_)) {
      ++tally_.lost;
      continue;
    }
    plan_.push_back(one);
    if (chance_.hits(loss_ / 2)) {
      plan_.push_back(one);
      ++tally_.doubled;
    }
  }
  if (tally_.lost != lost_before) ++losses_;
  std::reverse(plan_.begin(), plan_.end());
  for (std::size_t i = 1; i < plan_.size(); ++i) {
    if (chance_.hits(loss_)) std::swap(plan_[i - 1], plan_[i]);
  }
}

Body AttachmentUpload::frame(std::uint16_t message_id, Bytes body) {
  Body out;
  for (const Uplink& part : packer_.pack(message_id, body, next_serial_)) {
    out.insert(out.end(), part.wire.begin(), part.wire.end());
  }
  return out;
}

// T/JSATL 12-2017 table 21.
Body AttachmentUpload::list_frame() {
  BodyWriter body;
  body.fixed(terminal_id_, order_.terminal_id_bytes()).bytes(order_.sign);
  body.fixed(order_.number, number_bytes);
  body.u8(tally_.cuts > 0 ? 1 : 0).u8(files_.size() - file_);
  for (std::size_t i = file_; i < files_.size(); ++i) {
    body.text1(files_[i].name).u32(files_[i].content.size());
  }
  return frame(0x1210, body.body());
}

Body AttachmentUpload::file_frame(std::uint16_t message_id) {
  const AttachmentFile& file = files_[file_];
  BodyWriter body;
  body.text1(file.name).u8(file.type).u32(file.content.size());
  return frame(message_id, body.body());
}

Body AttachmentUpload::block(const Block& block) const {
  const AttachmentFile& file = files_[file_];
  BodyWriter out;
  out.u32(0x30316364).fixed(file.name, name_bytes).u32(block.offset).u32(block.size);
  out.bytes(Bytes(file.content).subspan(block.offset, block.size));
  return out.take();
}

}  // namespace ringgate::load
