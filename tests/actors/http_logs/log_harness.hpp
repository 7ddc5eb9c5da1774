#pragma once
#include <http_harness.hpp>
#include <map>
#include <node/daemon/api_services.hpp>
#include <node/daemon/log_port.hpp>
#include <troupe/api/logs.hpp>
#include <troupe/format/record.hpp>
#include <troupe/telemetry/journal.hpp>
#include <troupe/telemetry/log.hpp>

namespace test {

/// Metadata of one node that is alone: commits at once.
class lone_metadata final : public metadata::service {
 public:
  lone_metadata() {
    metadata::register_member me;
    me.who.id = self;
    me.who.incarnation = troupe::incarnation(1);
    me.who.name = "node1";
    me.who.address = "127.0.0.1:4000";
    REQUIRE_OK(commit(me));
  }
  result<metadata::response> commit(metadata::command what) {
    const std::unique_lock lock(mutex_);
    return state_.apply(log_index(state_.applied().value + 1),
                        {request_id::random(), 1'763'887'109'123, std::move(what)});
  }
  void propose(metadata::command what, request_id, std::uint32_t, reply then) override {
    then(commit(std::move(what)));
  }
  void barrier(std::uint32_t, std::function<void(result<void>)> then) override {
    ++barriers;
    then(ok());
  }
  std::function<void()> observe(observer) override {
    return [] {};
  }
  [[nodiscard]] member_id leader() const override { return self; }

  member_id self = member_id::random();
  std::atomic<int> barriers{0};
};

/// Keeps what is appended in one list for each dataset; knows retries; fails as it is told.
class listed_logs final : public node::log_port {
 public:
  explicit listed_logs(metadata::service& m) : metadata_(m) {}

  void append(logs::append_request what, reply<logs::append_outcome> then) override {
    const std::lock_guard lock(mutex);
    if (never_answers) return;
    requests.push_back(what);
    if (refuse) return then(*refuse);
    auto& log = lists[what.dataset];
    const auto key = std::pair(what.producer, what.sequence);
    logs::durable_part part{partition_index(0), record_offset(log.size()), 0, false};
    if (const auto found = done.find(key); found != done.end() && !what.producer.is_nil()) {
      part = found->second;
      part.duplicate = true;
    } else {
      format::record_reader reader(format_of(what.dataset), what.records);
      bytes_view record;
      for (auto more = reader.next(record); more && *more; more = reader.next(record)) {
        if (keeps) log.emplace_back(record);
        ++part.count;
      }
      done[key] = part;
    }
    logs::append_outcome outcome{{part}, rest};
    rest.reset();
    then(std::move(outcome));
  }

  void read(logs::read_request what, reply<logs::read_outcome> then) override {
    const std::lock_guard lock(mutex);
    reads.push_back(what);
    auto& log = lists[what.dataset];
    if (what.from.value > log.size()) return then(error{errc::invalid_argument, "that offset is beyond the end"});
    if (what.from.value == log.size() && what.wait > 0ms) {
      waiting = std::move(then);
      return;
    }
    logs::read_outcome out;
    out.format = format_of(what.dataset);
    out.schema = schema_of(what.dataset);
    for (auto i = what.from.value; i < log.size() && out.records.size() < what.records_max; ++i)
      out.records.push_back({record_offset(i), i == 0 ? 0 : 1'763'887'109'123, log[i]});
    out.next = record_offset(what.from.value + out.records.size());
    then(std::move(out));
  }

  void end_offsets(const std::string& dataset, reply<std::vector<logs::offset_range>> then) override {
    const std::lock_guard lock(mutex);
    std::vector<logs::offset_range> all{{partition_index(0), record_offset(0), record_offset(lists[dataset].size())}};
    then(std::move(all));
  }
  void open_ends(std::vector<std::string>, reply<std::vector<metadata::open_end>> then) override {
    then(std::vector<metadata::open_end>{});
  }
  void status(const std::string&, reply<logs::dataset_status> then) override { then(logs::dataset_status{}); }
  void verify(const std::string&, std::chrono::milliseconds, reply<logs::verify_report> then) override { then(report); }
  [[nodiscard]] logs::log_plane::drain_progress draining(const metadata::state&, member_id) const override {
    return {};
  }

  std::mutex mutex;
  std::map<std::string, std::vector<bytes>> lists;
  std::map<std::pair<uuid, std::uint64_t>, logs::durable_part> done;
  std::vector<logs::append_request> requests;
  std::vector<logs::read_request> reads;
  reply<logs::read_outcome> waiting;
  std::optional<error> refuse, rest;
  logs::verify_report report;
  bool never_answers = false;
  bool keeps = true;

 private:
  data_format format_of(const std::string& name) const {
    return metadata_.read([&](const metadata::state& s) {
      const auto* d = s.find_dataset(name);
      return d == nullptr ? data_format::lines : d->format;
    });
  }
  schema schema_of(const std::string& name) const {
    return metadata_.read([&](const metadata::state& s) {
      const auto* d = s.find_dataset(name);
      return d == nullptr ? schema{} : d->schema;
    });
  }
  metadata::service& metadata_;
};

/// For the parts of a node that these handlers do not touch.
template <class T>
T& untouched() {
  alignas(64) static std::byte nothing[64];
  return *reinterpret_cast<T*>(&nothing);
}

struct log_web {
  log_web() {
    http_router routes;
    node::add_log_routes(routes, services);
    routes.get("/api/v1/datasets/{name}/records",
               [this](auto& in, auto& out) { return node::read_records(services, in, out); });
    served = std::make_unique<web>(std::move(routes));
  }
  http_client_response ask(const std::string& method, const std::string& target, const bytes& body = {},
                           std::vector<http_field> fields = {}) {
    http_client_request request;
    request.method = method;
    request.target = "/api/v1/datasets/" + target;
    request.body = body;
    request.fields = std::move(fields);
    auto client = served->client();
    auto answer = client.send(request);
    REQUIRE_OK(answer);
    return std::move(*answer);
  }

  lone_metadata metadata;
  listed_logs logs{metadata};
  telemetry::journal journal;
  telemetry::logger log;
  telemetry::metrics metrics;
  notifier changes;
  boost::asio::thread_pool blocking{1};
  std::atomic<bool> ready{true};
  node::api_services services{cluster_id::random(),
                              metadata.self,
                              "node1",
                              "local",
                              "the-token",
                              "",
                              "",
                              metadata,
                              untouched<data::data_plane>(),
                              untouched<data::module_store>(),
                              untouched<actors::cluster_actors>(),
                              journal,
                              metrics,
                              changes,
                              blocking,
                              ready,
                              [](std::string) {},
                              log,
                              &logs};
  std::unique_ptr<web> served;
};

inline std::vector<http_field> numbered(const uuid& producer, std::uint64_t sequence) {
  return {{api::producer_field, producer.to_string()}, {api::sequence_field, std::to_string(sequence)}};
}

}  // namespace test
