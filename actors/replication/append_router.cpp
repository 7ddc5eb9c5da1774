#include <actors/replication/append_router.hpp>
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>

namespace troupe::logs {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using transport::after;
using transport::steady_time;

namespace {
constexpr std::size_t producers_max = 1'024;          ///< appends without a producer that are under way at once
constexpr std::size_t bytes_waiting_max = 256 << 20;  ///< of appends that are under way
constexpr auto try_time_max = 2s;  ///< a leader that hangs: its partition may be led by somebody else by then
constexpr auto pause_min = 5ms;
constexpr auto pause_max = 80ms;
constexpr auto await_time_max = 2s;
constexpr auto attempts_sweep_interval = 50ms;  ///< what has waited too long is noticed so often

/// Whether asking again may help: nobody leads, or the one who did is gone.
bool is_passing(errc code) {
  return code == errc::unavailable || code == errc::deadline_exceeded || code == errc::cancelled;
}
}  // namespace

struct append_router::request {
  append_request what;
  dataset_id dataset;
  std::optional<lent_producer> lent;
  steady_time deadline;
  std::vector<append_part> parts;
  std::vector<std::optional<result<append_answer>>> answers;
  std::vector<std::chrono::milliseconds> pauses;  ///< before a part is sent again
  std::size_t open_parts = 0;
  std::size_t bytes = 0;
  log_plane::reply<append_outcome> then;
};

result<routing_rule> append_router::rule_of(const std::string& dataset, dataset_id& id) const {
  return context_->parts.metadata.read([&](const metadata::state& s) -> result<routing_rule> {
    const auto* d = s.find_dataset(dataset);
    if (d == nullptr)
      return error{errc::not_found, "there is no dataset " + dataset + "; «datasets» lists what there is"};
    if (d->partitions.empty())
      return error{errc::failed_precondition, "dataset " + dataset + " has no partition to append to"};
    id = d->id;
    return routing_rule{d->format, d->schema, d->log.key_field, static_cast<std::uint32_t>(d->partitions.size())};
  });
}

void append_router::append(append_request what, log_plane::reply<append_outcome> then) {
  auto r = std::make_shared<request>();
  r->deadline = after(what.time_max);
  r->bytes = what.records.size();
  r->what = std::move(what);
  r->then = std::move(then);
  asio::dispatch(context_->io, [self = shared_from_this(), r] { self->begin(r); });
}

void append_router::begin(const request_ptr& r) {
  if (context_->stopping) return r->then(error{errc::cancelled, "this node is stopping"});
  if (bytes_waiting_ + r->bytes > bytes_waiting_max)
    return r->then(
        error{errc::resource_exhausted, "too much waits to be appended by way of this node; try again later"});
  bytes_waiting_ += r->bytes;
  ++context_->appends_under_way;
  const auto rule = rule_of(r->what.dataset, r->dataset);
  if (rule) return route(r, *rule);
  if (rule.error().code() != errc::not_found) return fail(*r, rule.error());
  asio::co_spawn(context_->io, find_dataset(r), asio::detached);
}

/// It may have been made by way of another node a moment ago.
asio::awaitable<void> append_router::find_dataset(request_ptr r) {
  const auto self = shared_from_this();
  auto pending = transport::await_result<void>(
      [this](std::function<void(result<void>)> told) {
        context_->parts.metadata.barrier(static_cast<std::uint32_t>(std::chrono::milliseconds(await_time_max).count()),
                                         std::move(told));
      },
      std::min<steady_time>(r->deadline, after(await_time_max)));
  (void)co_await std::move(pending);
  const auto rule = rule_of(r->what.dataset, r->dataset);
  if (!rule) co_return fail(*r, rule.error());
  route(r, *rule);
}

void append_router::fail(request& r, const error& why) {
  bytes_waiting_ -= r.bytes;
  --context_->appends_under_way;
  context_->count.appends_refused.add();
  r.then(why);
}

void append_router::route(const request_ptr& r, const routing_rule& rule) {
  if (r->what.producer.is_nil()) {
    if (idle_producers_.empty()) {
      if (producers_made_ >= producers_max)
        return fail(*r, {errc::resource_exhausted, "too many appends at once by way of this node; try again later"});
      ++producers_made_;
      idle_producers_.push_back({uuid::random(), 0});
    }
    r->lent = idle_producers_.back();
    idle_producers_.pop_back();
    ++r->lent->sequence;
    r->what.producer = r->lent->producer;
    r->what.sequence = r->lent->sequence;
  }
  auto parts = split_records(rule, r->what.producer, r->what.sequence, shared_bytes(std::move(r->what.records)));
  if (!parts) {
    if (r->lent) idle_producers_.push_back(*r->lent);
    return fail(*r, parts.error());
  }
  r->parts = std::move(*parts);
  r->open_parts = r->parts.size();
  r->answers.resize(r->parts.size());
  r->pauses.assign(r->parts.size(), pause_min);
  for (std::size_t i = 0; i < r->parts.size(); ++i) send_part(r, i);
}

void append_router::send_part(const request_ptr& r, std::size_t index) {
  if (context_->stopping)
    return settle(r, index, error{errc::cancelled, "this node is stopping: it is not known what was appended"});
  const bool deleted =
      context_->parts.metadata.read([&](const metadata::state& s) { return s.find_dataset(r->dataset) == nullptr; });
  if (deleted) return settle(r, index, error{errc::not_found, "dataset " + r->what.dataset + " was deleted"});
  const auto& part = r->parts[index];
  append_call call;
  call.where = {r->dataset, part.partition};
  call.producer = r->what.producer;
  call.sequence = r->what.sequence;
  call.count = part.count;
  call.payload_bytes = static_cast<std::uint32_t>(part.payload.size());
  const auto whom = leaders_->whom_to_ask(call.where);
  if (!whom)
    return send_again(r, index, {errc::unavailable, "nobody is there to lead partition " + to_string(part.partition)});
  const auto until = std::min<steady_time>(r->deadline, after(try_time_max));
  if (*whom == context_->self.member) return ask_here(r, index, call, until);
  ask_there(r, index, *whom, call, until);
}

void append_router::ask_here(const request_ptr& r, std::size_t index, const append_call& call, steady_time until) {
  const auto a = std::make_shared<attempt>(attempt{r, index, until, {}, false});
  a->at = attempts_.insert(attempts_.end(), a);
  if (!std::exchange(sweeping_, true)) sweep();
  leaders_->append(call.where, call.producer, call.sequence, call.count, r->parts[index].payload,
                   [self = shared_from_this(), a](const result<leader_host::appended>& said) {
                     if (std::exchange(a->over, true)) return;
                     self->attempts_.erase(a->at);
                     if (!said) return self->answered(a->r, a->index, said.error());
                     self->answered(a->r, a->index, append_answer{said->first_offset, said->count, said->duplicate});
                   });
}

void append_router::ask_there(const request_ptr& r, std::size_t index, member_id whom, const append_call& call,
                              steady_time until) {
  const auto& payload = r->parts[index].payload;
  if (payload.size() > replication::batches_bytes_max)
    return answered(r, index,
                    error{errc::invalid_argument, "an append of " + std::to_string(payload.size()) +
                                                      " bytes to one partition: at most 1 MiB goes into one; send "
                                                      "several"});
  links_->call(whom, call_kind::append, codec::encode(call), payload, until,
               [self = shared_from_this(), r, index](result<shared_bytes> said) {
                 if (!said) return self->answered(r, index, said.error());
                 self->answered(r, index, codec::decode<append_answer>(said->view(), "the answer to an append"));
               });
}

/// Leaders here that have not answered in a try's time: the partition may be led by somebody else by then.
void append_router::sweep() {
  if (context_->stopping || attempts_.empty()) {
    sweeping_ = false;
    return;
  }
  sweep_timer_.expires_after(attempts_sweep_interval);
  sweep_timer_.async_wait([self = shared_from_this()](const boost::system::error_code&) {
    const auto now = std::chrono::steady_clock::now();
    std::vector<std::shared_ptr<attempt>> late;
    for (const auto& a : self->attempts_)
      if (a->until <= now) late.push_back(a);
    for (const auto& a : late) {
      a->over = true;
      self->attempts_.erase(a->at);
      self->answered(a->r, a->index, error{errc::deadline_exceeded, "no answer before the deadline"});
    }
    self->sweep();
  });
}

void append_router::answered(const request_ptr& r, std::size_t index, result<append_answer> said) {
  if (said || !is_passing(said.error().code())) return settle(r, index, std::move(said));
  send_again(r, index, said.error());
}

void append_router::send_again(const request_ptr& r, std::size_t index, const error& last) {
  auto& pause = r->pauses[index];
  if (std::chrono::steady_clock::now() + pause >= r->deadline)
    return settle(r, index,
                  error{errc::deadline_exceeded,
                        "it is not known in time whether records were appended to partition " +
                            to_string(r->parts[index].partition) + " of dataset " + r->what.dataset +
                            ": send them again with the same producer and sequence (" + last.message() + ")"});
  auto timer = std::make_shared<asio::steady_timer>(context_->io, after(pause));
  pause = std::min<std::chrono::milliseconds>(pause * 2, pause_max);
  timer->async_wait(
      [self = shared_from_this(), timer, r, index](const boost::system::error_code&) { self->send_part(r, index); });
}

void append_router::settle(const request_ptr& r, std::size_t index, result<append_answer> said) {
  r->answers[index].emplace(std::move(said));
  if (--r->open_parts == 0) finish(*r);
}

void append_router::finish(request& r) {
  bytes_waiting_ -= r.bytes;
  --context_->appends_under_way;
  if (r.lent) idle_producers_.push_back(*r.lent);
  append_outcome out;
  for (std::size_t i = 0; i < r.parts.size(); ++i) {
    auto& said = *r.answers[i];
    if (said) {
      out.durable.push_back({r.parts[i].partition, said->first_offset, said->count, said->duplicate});
    } else {
      context_->count.appends_refused.add();
      if (!out.rest) out.rest = said.error();
    }
  }
  if (out.durable.empty()) return r.then(*out.rest);
  r.then(std::move(out));
}

void append_router::serve(shared_bytes call, log_links::answer then) {
  append_call head;
  codec::reader in(call.view());
  if (!in.get(head) || in.left() != head.payload_bytes)
    return then(error{errc::invalid_argument, "a call to append makes no sense"});
  auto payload = call.part(call.size() - head.payload_bytes, head.payload_bytes);
  leaders_->append(head.where, head.producer, head.sequence, head.count, std::move(payload),
                   [then = std::move(then)](result<leader_host::appended> done) {
                     if (!done) return then(done.error());
                     then(shared_bytes(codec::encode(append_answer{done->first_offset, done->count, done->duplicate})));
                   });
}

}  // namespace troupe::logs
