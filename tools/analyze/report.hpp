// A judgement for people, for programs, for a browser. Pure: text in, text out.
#pragma once

#include <string>

#include "tools/analyze/judge.hpp"

namespace ringgate::analyze {

std::string report_text(const Case& subject, const Judgement& judgement, bool colours);
std::string report_json(const Case& subject, const Judgement& judgement);
// One page that needs nothing else, light and dark.
std::string report_html(const Case& subject, const Judgement& judgement);

// "112 ms", "0.62", "3.4/s", "1.2 MiB"
std::string value_text(Unit unit, double value);
// A verdict in a sentence: "shard 1: p99 of a durable write 112 ms, 11.2 times the threshold".
std::string reading_text(const Reading& reading);
std::string trend_text(const Verdict& verdict);
std::string correlation_text(const Correlation& correlation, const char* with, double interval_s);
// "after 12 s", or with the wall clock where it is known: "14:03:12 (after 12 s)".
std::string moment_text(const Case& subject, double at_s);
// Mean distance of two samples.
double interval_s(const Case& subject);

}  // namespace ringgate::analyze
