// The pure parts of the NATS sink: subjects, urls, what errors mean.
#include <doctest/doctest.h>

#include "storage/sink/nats.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::sink;

TEST_CASE("anything becomes one token of a subject, and comes back") {
  CHECK(subject_token("13800138000") == "13800138000");
  CHECK(subject_token("a.b*c>d e%") == "a%2Eb%2Ac%3Ed%20e%25");
  CHECK(subject_token("\xe4\xba\xac") == "%E4%BA%AC");
  CHECK(subject_token("") == "%");
  for (const std::string_view text : {"x", "a.b", "100% of it", "\x01\xff", "....", "%2E"}) {
    CHECK(from_subject_token(subject_token(text)) == text);
  }
  for (const std::string_view bad : {"%", "%2", "a%", "%zz", "%2g"}) {
    CHECK(from_subject_token(bad).empty());
  }
}

TEST_CASE("urls: servers, logins, tokens, ports") {
  const auto url = parse_nats_url("nats://gate:p%40ss%3A@10.0.0.7:4223,tls://other,nats://t0k@x/");
  REQUIRE(url.ok());
  REQUIRE(url->servers.size() == 3);
  const NatsServer& first = url->servers[0];
  CHECK(first.user == "gate");
  CHECK(first.password == "p@ss:");
  CHECK(first.host == "10.0.0.7");
  CHECK(first.port == 4223);
  CHECK(first.display() == "nats://10.0.0.7:4223");
  CHECK(url->servers[1].tls);
  CHECK(url->servers[1].port == 4222);
  CHECK(url->servers[1].user == "gate");  // servers without a login take the first one's
  CHECK(url->servers[2].token == "t0k");
  CHECK(url->servers[2].host == "x");
  const auto six = parse_nats_url("nats://[::1]:4333");
  REQUIRE(six.ok());
  CHECK(six->servers[0].port == 4333);
  for (const std::string_view bad : {"", "http://x", "nats://", "nats://x:0", "nats://x:70000",
                                     "nats://x:port", "nats://u:p@"}) {
    CHECK_FALSE(parse_nats_url(bad).ok());
  }
}

TEST_CASE("record subjects never take commands or presence") {
  CHECK(subject_covers("ringgate.*.*.*.*", record_subjects));
  CHECK(subject_covers("ringgate.>", record_subjects));
  CHECK(subject_covers(">", record_subjects));
  CHECK_FALSE(subject_covers("ringgate.*.jt808.*.*", record_subjects));
  CHECK_FALSE(subject_covers("ringgate.*.*.*", record_subjects));
  CHECK_FALSE(subject_covers("ringgate.*.*.*.*.*", record_subjects));
  CHECK_FALSE(subjects_overlap(record_subjects, "ringgate.cmd.*"));
  CHECK_FALSE(subjects_overlap(record_subjects, "ringgate.presence.*"));
  CHECK(subjects_overlap("ringgate.>", "ringgate.cmd.*"));
  CHECK(subjects_overlap("*.cmd.*", "ringgate.cmd.*"));
}

TEST_CASE("what JetStream's errors mean") {
  CHECK(failure_of_stream(10077) == Failure::overloaded);  // maximum bytes exceeded
  CHECK(failure_of_stream(10023) == Failure::overloaded);
  CHECK(failure_of_stream(10054) == Failure::bad_record);
  CHECK(failure_of_stream(10008) == Failure::unreachable);
  CHECK(failure_of_stream(10058) == Failure::bad_config);
}

}  // namespace
