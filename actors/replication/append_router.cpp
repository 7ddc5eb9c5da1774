#include <actors/replication/append_router.hpp>
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>

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

/// Whether asking again may help: nobody leads, or the one who did is gone.
bool is_passing(errc code) {
  return code == errc::unavailable || code == errc::deadline_exceeded || code == errc::cancelled;
}
}  // namespace

struct append_router::request {
  append_request what;
  dataset_id dataset;
  routing_rule rule;
  std::optional<lent_producer> lent;
  steady_time deadline;
  std::vector<append_part> parts;
  std::vector<std::optional<result<append_answer>>> answers;
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
  asio::post(context_->io, [self = shared_from_this(), r] {
    if (self->context_->stopping) return r->then(error{errc::cancelled, "this node is stopping"});
    if (self->bytes_waiting_ + r->bytes > bytes_waiting_max)
      return r->then(
          error{errc::resource_exhausted, "too much waits to be appended by way of this node; try again later"});
    self->bytes_waiting_ += r->bytes;
    asio::co_spawn(self->context_->io, self->run(r), asio::detached);
  });
}

asio::awaitable<void> append_router::run(request_ptr r) {
  const auto self = shared_from_this();
  const auto fail = [&](const error& why) {
    bytes_waiting_ -= r->bytes;
    context_->count.appends_refused.add();
    r->then(why);
  };
  auto rule = rule_of(r->what.dataset, r->dataset);
  if (!rule && rule.error().code() == errc::not_found) {
    // It may have been made by way of another node a moment ago.
    auto pending = transport::await_result<void>(
        [this](std::function<void(result<void>)> told) {
          context_->parts.metadata.barrier(
              static_cast<std::uint32_t>(std::chrono::milliseconds(await_time_max).count()), std::move(told));
        },
        std::min<steady_time>(r->deadline, after(await_time_max)));
    const auto caught_up = co_await std::move(pending);
    if (caught_up) rule = rule_of(r->what.dataset, r->dataset);
  }
  if (!rule) co_return fail(rule.error());
  if (r->what.producer.is_nil()) {
    if (idle_producers_.empty()) {
      if (producers_made_ >= producers_max)
        co_return fail({errc::resource_exhausted, "too many appends at once by way of this node; try again later"});
      ++producers_made_;
      idle_producers_.push_back({uuid::random(), 0});
    }
    r->lent = idle_producers_.back();
    idle_producers_.pop_back();
    ++r->lent->sequence;
    r->what.producer = r->lent->producer;
    r->what.sequence = r->lent->sequence;
  }
  auto parts = split_records(*rule, r->what.producer, r->what.sequence, shared_bytes(std::move(r->what.records)));
  if (!parts) {
    if (r->lent) idle_producers_.push_back(*r->lent);
    co_return fail(parts.error());
  }
  r->parts = std::move(*parts);
  r->open_parts = r->parts.size();
  r->answers.resize(r->parts.size());
  for (std::size_t i = 1; i < r->parts.size(); ++i) asio::co_spawn(context_->io, send_part(r, i), asio::detached);
  co_await send_part(r, 0);
}

asio::awaitable<void> append_router::send_part(request_ptr r, std::size_t index) {
  const auto self = shared_from_this();
  const auto& part = r->parts[index];
  const partition_key where{r->dataset, part.partition};
  error last{errc::unavailable, "nobody is there to lead partition " + to_string(part.partition)};
  auto pause = std::chrono::milliseconds(pause_min);
  for (;;) {
    const auto whom = leaders_->whom_to_ask(where);
    if (whom) {
      const auto until = std::min<steady_time>(r->deadline, after(try_time_max));
      auto said = co_await ask(*whom, *r, part, until);
      if (said || !is_passing(said.error().code())) {
        r->answers[index].emplace(std::move(said));
        break;
      }
      last = said.error();
    }
    if (context_->stopping) {
      r->answers[index].emplace(error{errc::cancelled, "this node is stopping: it is not known what was appended"});
      break;
    }
    if (std::chrono::steady_clock::now() + pause >= r->deadline) {
      r->answers[index].emplace(
          error{errc::deadline_exceeded, "it is not known in time whether records were appended to partition " +
                                             to_string(part.partition) + " of dataset " + r->what.dataset +
                                             ": send them again with the same producer and sequence (" +
                                             last.message() + ")"});
      break;
    }
    co_await transport::sleep_until(after(pause));
    pause = std::min<std::chrono::milliseconds>(pause * 2, pause_max);
  }
  if (--r->open_parts == 0) finish(*r);
}

asio::awaitable<result<append_answer>> append_router::ask(member_id whom, const request& r, const append_part& part,
                                                          steady_time deadline) {
  append_call call;
  call.where = {r.dataset, part.partition};
  call.producer = r.what.producer;
  call.sequence = r.what.sequence;
  call.count = part.count;
  call.payload_bytes = static_cast<std::uint32_t>(part.payload.size());
  if (whom == context_->self.member) {
    using appended = leader_host::appended;
    auto here_pending = transport::await_result<appended>(
        [&](std::function<void(result<appended>)> then) {
          leaders_->append(call.where, call.producer, call.sequence, call.count, part.payload, std::move(then));
        },
        deadline);
    auto here = co_await std::move(here_pending);
    if (!here) co_return here.error();
    co_return append_answer{here->first_offset, here->count, here->duplicate};
  }
  if (part.payload.size() > replication::batches_bytes_max)
    co_return error{errc::invalid_argument, "an append of " + std::to_string(part.payload.size()) +
                                                " bytes to one partition: at most 1 MiB goes into one; send several"};
  auto there_pending = transport::await_result<shared_bytes>(
      [&](log_links::answer then) {
        links_->call(whom, call_kind::append, codec::encode(call), part.payload, deadline, std::move(then));
      },
      deadline);
  auto there = co_await std::move(there_pending);
  if (!there) co_return there.error();
  co_return codec::decode<append_answer>(there->view(), "the answer to an append");
}

void append_router::finish(request& r) {
  bytes_waiting_ -= r.bytes;
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
