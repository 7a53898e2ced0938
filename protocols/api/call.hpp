// One request on the plane, from its arrival until it is answered. Plane thread only.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocols/api/access.hpp"
#include "protocols/api/route.hpp"
#include "protocols/http/exchange.hpp"

namespace ringgate::api {

using Json = nlohmann::json;
class Outflow;

// What a shard copies out of a request: the views of http::Request end with its call.
struct CallData {
  http::ExchangeId id;
  http::Method method = http::Method::get;
  std::string path;   // not decoded
  std::string query;  // not decoded
  std::vector<std::pair<std::string, std::string>> fields;  // names in lower case
  std::vector<std::uint8_t> body;
  net::PeerAddress peer;
  Principal who;
  bool secure = false;
};

class Call : public std::enable_shared_from_this<Call> {
 public:
  Call(Plane& plane, CallData data, const Route& route, std::vector<std::string> values)
      : plane_(plane), data_(std::move(data)), route_(route), values_(std::move(values)) {}
  // Answers 500 where nobody has answered: no request is left without.
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  const CallData& data() const { return data_; }
  const Route& route() const { return route_; }
  // The path's values in the order of its braces, decoded.
  const std::string& value(std::size_t index) const { return values_[index]; }
  // "" where there is none.
  std::string_view field(std::string_view lower_name) const;
  // What is wrong with the query: a parameter that the route does not have, one that stands twice,
  // a % without two hex digits, text that is no UTF-8. "" where nothing is. Whoever mistypes a
  // filter is told so, rather than given what it would have left out.
  std::string wrong_in_query() const;
  // A parameter of the query, decoded.
  std::optional<std::string> parameter(std::string_view name) const;
  // A whole number among them. Answers 400 and gives nothing where it is no number of that range.
  std::optional<std::uint64_t> number(std::string_view name, std::uint64_t otherwise,
                                      std::uint64_t least, std::uint64_t most);
  // The body as JSON object (body.hpp); no body is an empty one. Answers 400 and gives nothing
  // where it is none.
  std::optional<Json> json();
  // Who asks, for audit records: "token ops from 10.0.0.1", "127.0.0.1 by HTTP".
  std::string who() const { return data_.who.text(); }
  // Somebody has logged in with it.
  Principal& set_who(const LoginPtr& login);
  // Whether whoever asks may see or do what needs `scope`, beyond what the route needs.
  bool may(Scope scope) const { return data_.who.scopes.has(scope); }

  // Nobody reads the body any more: a call that waits need not hold it.
  void drop_body() { data_.body = {}; }

  // Whether the client has gone or has its answer: what is left to do can be left.
  bool over() const { return answered_ || gone_; }
  void set_gone() { gone_ = true; }

  // Once each; later ones do nothing. `fields`: whole lines.
  void answer(std::string body, std::uint16_t status = 200,
              std::string_view type = "application/json", std::string_view fields = {});
  void problem(std::uint16_t status, std::string_view detail, std::string_view fields = {});
  // Hands the answer to another thread (outflow.hpp). Null: the call has its answer (503, too many
  // are under way), or its client has gone.
  std::shared_ptr<Outflow> detach();

 private:
  Plane& plane_;
  CallData data_;
  const Route& route_;
  std::vector<std::string> values_;
  bool answered_ = false;
  bool gone_ = false;
};

}  // namespace ringgate::api
