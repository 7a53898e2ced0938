// Result: a value or the reason there is none. Used instead of exceptions; std::expected of
// libstdc++ 12 does not compile under clang, so this one is ours.
#pragma once

#include <string>
#include <utility>
#include <variant>

#include "engine/base/check.hpp"

namespace ringgate {

// An error for people: names the thing, the place and, where there is one, the cure.
// `code` is an errno value, or 0 where no system call was involved. Cold paths only: it allocates.
struct Error {
  int code = 0;
  std::string message;
};

// `message` gets ": " and strerror(code) appended.
Error errno_error(int code, std::string message);

template <class T, class E = Error>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(E error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & { RG_CHECK(ok()); return *std::get_if<0>(&state_); }
  const T& value() const& { RG_CHECK(ok()); return *std::get_if<0>(&state_); }
  T&& value() && { RG_CHECK(ok()); return std::move(*std::get_if<0>(&state_)); }
  const E& error() const { RG_CHECK(!ok()); return *std::get_if<1>(&state_); }

  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, E> state_;
};

template <class E>
class [[nodiscard]] Result<void, E> {
 public:
  Result() = default;
  Result(E error) : error_(std::move(error)), ok_(false) {}
  bool ok() const { return ok_; }
  explicit operator bool() const { return ok_; }
  const E& error() const { RG_CHECK(!ok_); return error_; }

 private:
  E error_{};
  bool ok_ = true;
};

}  // namespace ringgate
