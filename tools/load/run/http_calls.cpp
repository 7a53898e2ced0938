#include "tools/load/run/http_calls.hpp"

#include <fmt/core.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

namespace ringgate::load {
namespace {

std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  return text;
}

// Chunked content put together; false: not all there.
bool join_chunks(std::string_view from, std::string& out) {
  while (true) {
    const std::size_t line = from.find("\r\n");
    if (line == std::string_view::npos) return false;
    const std::size_t size = std::strtoull(std::string(from.substr(0, line)).c_str(), nullptr, 16);
    if (size == 0) return true;
    if (size > http_answer_bytes_max || from.size() < line + 2 + size + 2) return false;
    out.append(from.substr(line + 2, size));
    from.remove_prefix(line + 2 + size + 2);
  }
}

std::string header_of(const std::string& head, const std::string& name) {
  const std::string wanted = fmt::format("\r\n{}:", name);
  const std::size_t at = lower(head).find(wanted);
  if (at == std::string::npos) return {};
  const std::size_t begin = head.find_first_not_of(' ', at + wanted.size());
  return begin == std::string::npos ? std::string{}
                                    : head.substr(begin, head.find("\r\n", begin) - begin);
}

}  // namespace

std::string HttpAnswer::text() const {
  if (status == 0) return error;
  const nlohmann::json problem = nlohmann::json::parse(body, nullptr, false);
  for (const char* member : {"detail", "title"}) {
    if (!problem.is_object() || !problem.contains(member)) continue;
    if (problem[member].is_string()) {
      return fmt::format("{}: {}", status, problem[member].get<std::string>());
    }
  }
  return fmt::format("status {}", status);
}

bool parse_http_answer(const std::string& bytes, bool closed, HttpAnswer& out) {
  const std::size_t end = bytes.find("\r\n\r\n");
  if (end == std::string::npos || bytes.compare(0, 7, "HTTP/1.") != 0 || bytes.size() < 12) {
    return false;
  }
  const std::string head = bytes.substr(0, end + 2);
  const int status = std::atoi(bytes.c_str() + 9);
  std::string body;
  if (lower(header_of(head, "transfer-encoding")) == "chunked") {
    if (!join_chunks(std::string_view(bytes).substr(end + 4), body)) return false;
  } else if (const std::string length = header_of(head, "content-length"); !length.empty()) {
    const std::size_t size = std::strtoull(length.c_str(), nullptr, 10);
    if (bytes.size() - end - 4 < size) return false;
    body = bytes.substr(end + 4, size);
  } else if (status != 204) {
    if (!closed) return false;
    body = bytes.substr(end + 4);
  }
  out.status = status;
  out.body = std::move(body);
  return true;
}

void HttpCalls::begin(const HttpRequest& request, Done done) {
  Call& call = calls_.emplace_back();
  call.done = std::move(done);
  call.deadline_ns = clock_() + request.patience_ns;
  open(call, request);
}

void HttpCalls::open(Call& call, const HttpRequest& request) {
  auto known = known_.find(request.address);
  if (known == known_.end()) {
    const Result<SocketAddress> address = resolve_address(request.address, "HTTP");
    if (!address.ok()) return fail(call, address.error().message);
    known = known_.emplace(request.address, *address).first;
  }
  const SocketAddress& to = known->second;
  call.fd = OwnedFd(socket(to.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!call.fd || (connect(call.fd.get(), to.get(), to.bytes) != 0 && errno != EINPROGRESS)) {
    return fail(call, fmt::format("{}: {}", request.address, std::strerror(errno)));
  }
  call.unsent = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", request.method,
                            request.path, request.address);
  if (!request.token.empty()) {
    call.unsent += fmt::format("Authorization: Bearer {}\r\n", request.token);
  }
  if (!request.body.empty() || request.method == "PUT" || request.method == "POST") {
    call.unsent += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n",
                               request.body.size());
  }
  call.unsent += "\r\n";
  call.unsent += request.body;
}

void HttpCalls::fail(Call& call, const std::string& error) {
  call.answer = {0, {}, error};
  call.over = true;
}

void HttpCalls::add_polls(std::vector<pollfd>& polls) const {
  for (const Call& call : calls_) {
    if (call.fd) {
      polls.push_back({call.fd.get(), static_cast<short>(call.unsent.empty() ? POLLIN : POLLOUT),
                       0});
    }
  }
}

void HttpCalls::turn(Call& call) {
  while (!call.unsent.empty()) {
    const ssize_t sent = send(call.fd.get(), call.unsent.data(), call.unsent.size(), MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == ENOTCONN)) break;
    if (sent < 0) return fail(call, std::strerror(errno));
    call.unsent.erase(0, static_cast<std::size_t>(sent));
  }
  char buffer[16384];
  while (call.unsent.empty()) {
    const ssize_t got = recv(call.fd.get(), buffer, sizeof buffer, 0);
    if (got < 0 && errno == EAGAIN) break;
    if (got < 0) return fail(call, std::strerror(errno));
    call.received.append(buffer, static_cast<std::size_t>(got));
    if (call.received.size() > http_answer_bytes_max) return fail(call, "an answer without end");
    call.over = parse_http_answer(call.received, got == 0, call.answer);
    if (!call.over && got == 0) return fail(call, "the connection ended before the answer");
    if (call.over) return;
  }
  if (clock_() > call.deadline_ns) fail(call, "no answer in time");
}

void HttpCalls::handle() {
  for (Call& call : calls_) {
    if (!call.over) turn(call);
  }
  std::list<Call> over;
  for (auto it = calls_.begin(); it != calls_.end();) {
    const auto next = std::next(it);
    if (it->over) over.splice(over.end(), calls_, it);
    it = next;
  }
  for (Call& call : over) call.done(call.answer);  // may begin others
}

HttpAnswer HttpCalls::call(const HttpRequest& request) {
  HttpAnswer out;
  bool done = false;
  begin(request, [&](const HttpAnswer& answer) {
    out = answer;
    done = true;
  });
  while (!done) {
    std::vector<pollfd> polls;
    add_polls(polls);
    poll(polls.data(), polls.size(), 50);
    handle();
  }
  return out;
}

}  // namespace ringgate::load
