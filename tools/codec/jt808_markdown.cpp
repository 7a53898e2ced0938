#include "tools/codec/jt808_markdown.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <vector>

#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/handled.hpp"

namespace ringgate::codec_tool {

namespace {

using namespace jt808;
using Texts = std::vector<std::string>;

constexpr std::size_t columns = 100;
constexpr std::string_view head = R"(# Messages of JT/T 808

Written by `ringgate-codec list jt808 --markdown` from the tables in `codec/tables/`; every field
with its unit, layouts and conditions is in `--json`. Sources: 808 and 1078 are JT/T 808 and JT/T
1078, JSATL is T/JSATL 12-2017, GDRTA is T/GDRTA 002-2020, "field" was seen in the field and is in
no standard.
)";
constexpr std::string_view up_text = R"(
## From terminals

"versions": those that define the message; it is decoded whatever the frame's version is.
"recorded": written to the log and acknowledged with 0x8001. The others are recorded too;
[README.md](README.md) tells what else is done with them.
)";
constexpr std::string_view down_text = R"(
## To terminals

"answer": what ends a command: 0x0001, the message named, both, or whichever comes first.
"command": sent when somebody asks for it, to a terminal whose version has it. The others are sent
by the gateway itself; they can be sent as commands, too.
)";

std::string joined(const Texts& texts) {
  std::string out;
  for (const std::string& text : texts) out += fmt::format("{}{}", out.empty() ? "" : ", ", text);
  return out;
}

// The ids of parameters are DWORDs; none is above 0xffff.
std::string id_text(std::uint32_t id, unsigned bytes) {
  return fmt::format("0x{:0{}x}", id, 2 * std::min(bytes, 2U));
}

std::string source_text(std::string_view source) {
  std::string out(source);
  const auto replace = [&](std::string_view from, std::string_view to) {
    const std::size_t at = out.find(from);
    if (at != std::string::npos) out.replace(at, from.size(), to);
  };
  replace("JT/T ", "");
  replace("T/JSATL 12-2017", "JSATL");
  replace("T/GDRTA 002-2020", "GDRTA");
  replace("seen in the field", "field");
  return out;
}

std::string versions_text(LayoutMask versions) {
  Texts out;
  for (const Layout layout : {Layout::v2011, Layout::v2013, Layout::v2019}) {
    if ((versions & mask_of(layout)) != 0) out.emplace_back(name_of(layout));
  }
  return out.size() == 3 ? "all" : joined(out);
}

std::string answer_text(const Answer& answer) {
  using Rule = Answer::Rule;
  const std::string own = id_text(answer.id, 2);
  switch (answer.rule) {
    case Rule::none: return "none";
    case Rule::general: return "0x0001";
    case Rule::own: return own;
    case Rule::both: return fmt::format("0x0001, {}", own);
    case Rule::either: return fmt::format("0x0001 or {}", own);
  }
  return {};
}

// What a message of terminals is the answer to.
std::string asked_by(std::uint16_t id) {
  Texts out;
  for (const MessageSpec& message : messages()) {
    if (!message.from_device && message.answer.id == id) out.push_back(id_text(message.id, 2));
  }
  return joined(out);
}

void messages_table(bool from_device, std::string& out) {
  out += from_device ? up_text : down_text;
  out += from_device ? "\n| id | name | versions | source | answers | handled |\n"
                     : "\n| id | name | versions | source | answer | handled |\n";
  out += "|---|---|---|---|---|---|\n";
  for (const MessageSpec& message : messages()) {
    if (message.from_device != from_device) continue;
    out += fmt::format("| {} | {} | {} | {} | {} | {} |\n", id_text(message.id, 2), message.name,
                       versions_text(message.versions), source_text(message.source),
                       from_device ? asked_by(message.id) : answer_text(message.answer),
                       where_handled(message));
  }
}

// The keys of a value as JSON has them.
void keys(Fields fields, Texts& out) {
  const auto add = [&](std::string_view key) {
    if (!key.empty() && std::ranges::find(out, key) == out.end()) out.emplace_back(key);
  };
  for (const Field& field : fields) {
    if (field.kind == Kind::group && field.key.empty()) {
      keys(field.fields, out);
    } else {
      add(field.key);
      for (const Part& part : field.parts) add(part.key);
    }
  }
}

std::string type_text(const Field& field) {
  switch (field.kind) {
    case Kind::text: return " STRING";
    case Kind::digits: return fmt::format(" BCD[{}]", field.size);
    case Kind::bytes: return " bytes";
    case Kind::list: return " list";
    case Kind::items: return " items";
    default: break;
  }
  switch (field.size) {
    case 1: return " BYTE";
    case 2: return " WORD";
    case 4: return " DWORD";
    default: return {};
  }
}

// As many keys as there is room for.
std::string value_text(Fields fields, std::size_t room) {
  Texts all;
  keys(fields, all);
  const bool is_one = fields.size() == 1 && fields[0].kind != Kind::group;
  std::string text = joined(all) + (is_one ? type_text(fields[0]) : std::string());
  for (std::size_t shown = all.size(); text.size() > room && shown > 1;) {
    --shown;
    text = fmt::format("{} and {} more",
                       joined(Texts(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(shown))),
                       all.size() - shown);
  }
  return text;
}

void items_table(const Registry& registry, std::string& out) {
  out += fmt::format("\n## {}{}\n\n| id | name | source | value |\n|---|---|---|---|\n",
                     static_cast<char>(registry.name[0] - 'a' + 'A'), registry.name.substr(1));
  for (const ItemSpec& item : registry.items) {
    std::string row = fmt::format("| {}", id_text(item.id, registry.id_size));
    if (item.last_id != 0) row += fmt::format(" to {}", id_text(item.last_id, registry.id_size));
    row += fmt::format(" | {} | {} | ", item.name, source_text(item.source));
    out += fmt::format("{}{} |\n", row, value_text(item.fields, columns - row.size() - 2));
  }
}

// The lists of items that the fields name, each once, outer ones first.
void registries(Fields fields, std::vector<const Registry*>& out) {
  for (const Field& field : fields) {
    registries(field.fields, out);
    if (field.registry == nullptr || std::ranges::find(out, field.registry) != out.end()) continue;
    out.push_back(field.registry);
    for (const ItemSpec& item : field.registry->items) registries(item.fields, out);
  }
}

}  // namespace

std::string jt808_markdown() {
  std::string out(head);
  messages_table(true, out);
  messages_table(false, out);
  std::vector<const Registry*> all;
  for (const MessageSpec& message : messages()) registries(message.fields, all);
  for (const Registry* registry : all) items_table(*registry, out);
  return out;
}

}  // namespace ringgate::codec_tool
