#include "protocols/api/query_pool.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <optional>
#include <utility>

#include "protocols/api/plane.hpp"
#include "protocols/http/codec/target.hpp"

namespace ringgate::api {

namespace {

constexpr observe::MetricSpec queries_spec{.name = "ringgate_queries_total",
                                           .help = "Queries of the API, by how they ended.",
                                           .label = "end",
                                           .values = query_ends};
constexpr observe::MetricSpec refused_spec{
    .name = "ringgate_queries_refused_total",
    .help = "Queries that were answered with 503, since too many were under way."};
constexpr observe::MetricSpec seconds_spec{
    .name = "ringgate_query_seconds",
    .help = "Work on a query, without waiting for its turn or its client.",
    .kind = observe::MetricKind::histogram};
constexpr observe::MetricSpec read_spec{.name = "ringgate_query_read_bytes_total",
                                        .help = "Bytes that queries read from disk."};

struct Job {
  std::string client;
  std::shared_ptr<Outflow> out;
  std::unique_ptr<Query> query;
  bool takes_gzip = false;
  QueryHead head;
  std::unique_ptr<Gzip> gzip;  // once its body goes so
  std::string text;            // made, not written yet
  MonoNs worked_ns = 0;
};
using JobPtr = std::shared_ptr<Job>;

template <class Arrive>
void push(shard::Inbox& inbox, Arrive arrive) {
  class One final : public shard::Letter {
   public:
    explicit One(Arrive&& how) : how_(std::move(how)) {}
    void arrive() override { how_(); }

   private:
    Arrive how_;
  };
  inbox.push(std::make_unique<One>(std::move(arrive)));
}

}  // namespace

class QueryPool::Worker {
 public:
  Worker(QueryPool& pool, std::size_t index)
      : pool_(pool), index_(index),
        group_(pool.parts_.registry.add_group("thread", fmt::format("query-{}", index))),
        ends_(group_.family<QueryEnd>(queries_spec)), seconds_(group_.histogram(seconds_spec)),
        read_(group_.counter(read_spec)),
        run_{pool.parts_.scan, pool.parts_.blobs} {
    run_.scan.heads = &heads_;
    run_.scan.keep_going = {};
    run_.scan.pause = [this] { return now() >= turn_end_; };
    thread_ = std::thread([this] { run(); });
  }
  ~Worker() {
    stop_.store(true, std::memory_order_release);
    inbox_->wake();
    thread_.join();
  }
  // Any thread.
  void take(JobPtr job) {
    push(*inbox_, [this, job = std::move(job)] { ready_[job->client].push_back(job); });
  }

 private:
  MonoNs now() const { return run_.scan.sys.mono_now(); }
  void run();
  JobPtr next();
  void turn(const JobPtr& job);
  std::optional<QueryEnd> work(Job& job);
  void send(Job& job, bool last);
  QueryEnd fail(Job& job, std::uint16_t status, const std::string& why);
  void rest(const JobPtr& job);
  void end(Job& job, QueryEnd how);

  QueryPool& pool_;
  std::size_t index_;
  observe::CounterGroup& group_;
  observe::Family<QueryEnd> ends_;
  observe::Histogram& seconds_;
  observe::Counter read_;
  query::Heads heads_;
  QueryRun run_;
  MonoNs turn_end_ = 0;
  std::map<std::string, std::deque<JobPtr>> ready_;  // by client; none is empty
  std::map<Job*, JobPtr> resting_;                   // their clients take nothing
  std::string last_;                                 // the client whose turn it was
  // Outlives the worker where a flow still has a word for it.
  std::shared_ptr<shard::Inbox> inbox_ = std::make_shared<shard::Inbox>();
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

void QueryPool::Worker::run() {
  pthread_setname_np(pthread_self(), fmt::format("query-{}", index_).c_str());
  while (!stop_.load(std::memory_order_acquire)) {
    pollfd one{.fd = inbox_->fd(), .events = POLLIN, .revents = 0};
    if (::poll(&one, 1, ready_.empty() ? -1 : 0) > 0) inbox_->take();
    if (const JobPtr job = next(); job != nullptr) turn(job);
  }
  ready_.clear();
  resting_.clear();
}

// Of the client behind the last one: as many turns for each.
JobPtr QueryPool::Worker::next() {
  if (ready_.empty()) return nullptr;
  auto at = ready_.upper_bound(last_);
  if (at == ready_.end()) at = ready_.begin();
  JobPtr job = std::move(at->second.front());
  at->second.pop_front();
  last_ = at->first;
  if (at->second.empty()) ready_.erase(at);
  return job;
}

void QueryPool::Worker::turn(const JobPtr& job) {
  const MonoNs began = now();
  turn_end_ = began + turn_time;
  const auto how = work(*job);
  job->worked_ns += now() - began;
  if (how) {
    end(*job, *how);
  } else if (job->worked_ns > work_time_max) {
    fail(*job, 503, "the answer takes too long to find; ask for less");
    end(*job, QueryEnd::too_long);
  } else if (!job->out->room()) {
    rest(job);
  } else {
    ready_[job->client].push_back(job);
  }
}

// Until its end, its turn's end, or its client's window is full.
std::optional<QueryEnd> QueryPool::Worker::work(Job& job) {
  do {
    if (job.out->gone()) return QueryEnd::cancelled;
    const auto more = job.query->step(run_, job.head, job.text);
    if (!more) {
      const int code = more.error().code;
      const bool status = code >= 400 && code <= 599;
      return fail(job, static_cast<std::uint16_t>(status ? code : 500), more.error().message);
    }
    if (*more && job.text.size() < Outflow::piece_bytes) continue;
    send(job, !*more);
    if (!*more || job.out->head_only()) return QueryEnd::done;
  } while (now() < turn_end_ && job.out->room());
  return {};
}

// Where all is there at once it goes as a whole, with its length.
void QueryPool::Worker::send(Job& job, bool last) {
  Outflow& out = *job.out;
  const bool text = worth_gzip(job.head.type);
  if (!out.begun()) {
    const bool zip = text && job.takes_gzip && (!last || job.text.size() >= gzip_bytes_min);
    if (zip) job.head.fields = gzip_fields(job.head.fields);
    if (!zip && text) job.head.fields = plain_fields(job.head.fields);
    const QueryHead& head = job.head;
    if (last) {
      return out.answer(zip ? gzipped(job.text) : std::move(job.text), head.status, head.type,
                        head.fields);
    }
    if (zip) job.gzip = std::make_unique<Gzip>();
    out.begin({.status = head.status,
               .type = head.type,
               .fields = head.fields,
               .length = head.length,
               .endless = false});
  }
  if (job.gzip != nullptr) {
    std::string zipped;
    job.gzip->put(job.text, last, zipped);
    job.text.clear();
    out.write(std::move(zipped));
  } else {
    out.write(std::exchange(job.text, {}));
  }
  if (last || out.head_only()) out.end();
}

QueryEnd QueryPool::Worker::fail(Job& job, std::uint16_t status, const std::string& why) {
  if (job.out->begun()) {
    job.out->cut();
  } else {
    job.out->problem(status, why, job.head.fields);
  }
  return QueryEnd::failed;
}

void QueryPool::Worker::rest(const JobPtr& job) {
  resting_[job.get()] = job;
  job->out->when_room([this, inbox = inbox_, weak = std::weak_ptr<Job>(job)] {
    // Its letters are read by this worker or by nobody.
    push(*inbox, [this, weak] {
      const JobPtr back = weak.lock();
      if (back == nullptr) return;
      resting_.erase(back.get());
      ready_[back->client].push_back(back);
    });
  });
}

void QueryPool::Worker::end(Job& job, QueryEnd how) {
  ends_.add(how);
  seconds_.record(job.worked_ns);
  read_.add(job.query->bytes_read());
  job.query.reset();
  pool_.plane_.letter([load = pool_.load_, client = job.client, worker = index_] {
    load->ended(client, worker);
  });
}

// The pool ---------------------------------------------------------------------------------------

QueryPool::QueryPool(const Parts& parts, Plane& plane)
    : parts_(parts), plane_(plane),
      refused_(parts.registry.add_group("thread", "queries").counter(refused_spec)) {
  for (std::size_t i = 0; i < parts.threads; ++i) {
    load_->by_worker.push_back(0);
    workers_.push_back(std::make_unique<Worker>(*this, i));
  }
}

QueryPool::~QueryPool() = default;

void QueryPool::ask(const CallPtr& call, std::unique_ptr<Query> query) {
  const std::string client = call->who();
  const auto own = load_->by_client.find(client);
  const bool many = own != load_->by_client.end() && own->second >= client_queries_max;
  if (many || load_->all >= queries_max) {
    refused_.add();
    return call->problem(503,
                         many ? "too many of your queries are under way; try later"
                              : "too many queries are under way; try later",
                         "Retry-After: 2\r\n");
  }
  auto out = call->detach();
  if (out == nullptr) return;
  const auto least = std::min_element(load_->by_worker.begin(), load_->by_worker.end());
  const auto worker = static_cast<std::size_t>(least - load_->by_worker.begin());
  ++*least;
  ++load_->all;
  ++load_->by_client[client];
  const bool zip = http::takes_gzip(call->field("accept-encoding"));
  workers_[worker]->take(std::make_shared<Job>(Job{.client = client,
                                                   .out = std::move(out),
                                                   .query = std::move(query),
                                                   .takes_gzip = zip,
                                                   .head = {},
                                                   .gzip = nullptr,
                                                   .text = {},
                                                   .worked_ns = 0}));
}

void QueryPool::Load::ended(const std::string& client, std::size_t worker) {
  --all;
  --by_worker[worker];
  const auto own = by_client.find(client);
  if (--own->second == 0) by_client.erase(own);
}

}  // namespace ringgate::api
