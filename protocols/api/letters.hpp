// Letters made of functions.
#pragma once

#include <memory>
#include <utility>

#include "engine/shard/inbox.hpp"

namespace ringgate::api {

template <class Arrive>
std::unique_ptr<shard::Letter> make_letter(Arrive arrive) {
  class One final : public shard::Letter {
   public:
    explicit One(Arrive&& how) : how_(std::move(how)) {}
    void arrive() override { how_(); }

   private:
    Arrive how_;
  };
  return std::make_unique<One>(std::move(arrive));
}

}  // namespace ringgate::api
