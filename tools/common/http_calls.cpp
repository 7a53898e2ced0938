#include "tools/common/http_calls.hpp"

#include <fmt/core.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "tools/common/clock.hpp"

namespace ringgate::tool {

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

void HttpCalls::begin(const HttpRequest& request, Done done) {
  Call& call = calls_.emplace_back();
  call.done = std::move(done);
  call.deadline_ns = mono_now() + request.patience_ns;
  call.address = request.address;
  call.reader.begin(request.method == "HEAD");
  if (!known_.contains(request.address)) {
    Result<std::vector<SocketAddress>> found = resolve_addresses(request.address, "HTTP");
    if (!found.ok()) return fail(call, found.error().message);
    known_.emplace(request.address, std::move(*found));
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
  open(call, 0);
}

void HttpCalls::open(Call& call, int error) {
  const std::vector<SocketAddress>& addresses = known_.find(call.address)->second;
  while (call.tried < addresses.size()) {
    const SocketAddress& to = addresses[call.tried++];
    call.fd =
        OwnedFd(socket(to.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (call.fd && (connect(call.fd.get(), to.get(), to.bytes) == 0 || errno == EINPROGRESS)) {
      return;
    }
    error = errno;
  }
  fail(call, fmt::format("{} cannot be reached: {}", call.address, std::strerror(error)));
}

void HttpCalls::on_broken(Call& call, int error) {
  if (!call.begun) return open(call, error);
  fail(call, fmt::format("{}: {}", call.address, std::strerror(error)));
}

void HttpCalls::fail(Call& call, const std::string& error) {
  call.answer = {0, {}, error, call.begun};
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
    if (sent < 0 && (errno == EAGAIN || errno == ENOTCONN || errno == EINTR)) break;
    if (sent < 0) {
      on_broken(call, errno);
      break;
    }
    call.begun = true;
    call.unsent.erase(0, static_cast<std::size_t>(sent));
  }
  if (call.unsent.empty()) read(call);
  if (!call.over && mono_now() > call.deadline_ns) {
    fail(call, fmt::format("{}: no answer in time", call.address));
  }
}

void HttpCalls::read(Call& call) {
  char buffer[16384];
  while (true) {
    const ssize_t got = recv(call.fd.get(), buffer, sizeof buffer, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got < 0) return on_broken(call, errno);
    Bytes bytes{reinterpret_cast<const std::uint8_t*>(buffer), static_cast<std::size_t>(got)};
    const auto step = got > 0 ? call.reader.feed(bytes, &call.answer.body) : call.reader.closed();
    switch (step) {
      case HttpAnswerReader::Step::more: break;
      case HttpAnswerReader::Step::done:
        call.answer.status = call.reader.status();
        call.over = true;
        return;
      case HttpAnswerReader::Step::head:
        return fail(call, fmt::format("{}: an upgrade that nobody asked for", call.address));
      case HttpAnswerReader::Step::bad:
        return fail(call, got == 0 ? fmt::format("{}: the connection ended before the answer",
                                                 call.address)
                                   : fmt::format("{} does not speak HTTP: {}", call.address,
                                                 call.reader.problem()));
    }
    if (call.answer.body.size() > http_answer_bytes_max) {
      return fail(call, fmt::format("{}: an answer without end", call.address));
    }
  }
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

}  // namespace ringgate::tool
