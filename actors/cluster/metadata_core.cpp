#include <actors/cluster/metadata_core.hpp>
#include <boost/asio/post.hpp>
#include <troupe/base/codec.hpp>
#include <troupe/base/text.hpp>

namespace troupe::actors {
namespace asio = boost::asio;
using metadata::member_state;

namespace {

constexpr std::size_t barriers_max = 10'000;
constexpr std::chrono::milliseconds registration_deadline{5'000};

std::int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

metadata_core::metadata_core(metadata_options o, telemetry::logger& l, telemetry::metrics& metrics,
                             asio::io_context& context, std::shared_mutex& mutex, metadata::state& s)
    : options(std::move(o)),
      limits(options.limits),
      log(l),
      io(context),
      state(s),
      mutex_(mutex),
      timer_(std::in_place, context),
      applied_gauge_(metrics.get_gauge("troupe_metadata_applied_index", "Last entry of the metadata log applied here")),
      requests_counter_(
          metrics.get_counter("troupe_metadata_requests_total", "Metadata commands proposed by this node")),
      expired_counter_(
          metrics.get_counter("troupe_metadata_requests_expired_total", "Metadata commands without an answer in time")),
      commit_seconds_(metrics.get_histogram("troupe_metadata_commit_seconds",
                                            "From a proposal of this node to its being applied here",
                                            telemetry::histogram::latency_seconds())) {}

void metadata_core::propose(metadata::command what, request_id id, std::chrono::milliseconds deadline,
                            metadata::service::reply then) {
  request r;
  r.id = id.is_nil() ? request_id::random() : id;
  r.begun = std::chrono::steady_clock::now();
  r.deadline = r.begun + deadline;
  r.envelope = codec::encode(metadata::envelope{r.id, unix_ms(), std::move(what)});
  const auto size = r.envelope.size();
  std::optional<error> refusal;
  if (size > limits.command_bytes_max)
    refusal.emplace(errc::resource_exhausted, "a metadata command of " + format_bytes(size) + " is larger than " +
                                                  format_bytes(limits.command_bytes_max) +
                                                  ": use fewer, larger segments");
  else if (underway_ >= limits.requests_max || underway_bytes_ + size > limits.request_bytes_max)
    refusal.emplace(errc::resource_exhausted, "too many metadata commands are under way on this node: wait for some");
  std::unique_lock lock(door_mutex_);
  if (closed_) {  // nobody runs the metadata thread's queue any more
    lock.unlock();
    return then(error{errc::cancelled, "the metadata service of this node has stopped"});
  }
  if (refusal) {
    asio::post(io, [then = std::move(then), e = std::move(*refusal)] { then(e); });
    return;
  }
  ++underway_;
  underway_bytes_ += size;
  r.replies.push_back(std::move(then));
  asio::post(io, [this, r = std::move(r)]() mutable { take(std::move(r)); });
}

void metadata_core::take(request r) {
  requests_counter_.add();
  const auto size = r.envelope.size();
  if (const auto known = numbers_.find(r.id);
      known != numbers_.end()) {  // the same request twice at once: one way, two answers
    auto& first = requests_.at(known->second);
    first.replies.push_back(std::move(r.replies.front()));
    if (r.deadline > first.deadline) {
      deadlines_.erase({first.deadline, known->second});
      first.deadline = r.deadline;
      deadlines_.emplace(first.deadline, known->second);
    }
    --underway_;
    underway_bytes_ -= size;
    return;
  }
  const auto number = next_number_++;
  const auto id = r.id;
  numbers_.emplace(id, number);
  deadlines_.emplace(r.deadline, number);
  const auto at = requests_.emplace(number, std::move(r)).first;
  if (stopping_) return finish(at, error{errc::cancelled, "the metadata service of this node has stopped"});
  if (fenced_) return finish(at, error{errc::aborted, "this node is fenced: " + fence_reason_});
  if (role_) role_->submit(id, at->second.envelope);  // else start does
}

void metadata_core::finish(std::map<std::uint64_t, request>::iterator at, const result<metadata::response>& answer) {
  const auto number = at->first;
  const auto r = std::move(at->second);
  requests_.erase(at);
  numbers_.erase(r.id);
  deadlines_.erase({r.deadline, number});
  --underway_;
  underway_bytes_ -= r.envelope.size();
  commit_seconds_.observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - r.begun).count());
  for (const auto& then : r.replies) then(answer);
}

void metadata_core::settle(request_id id, const result<metadata::response>& answer) {
  if (const auto known = numbers_.find(id); known != numbers_.end()) finish(requests_.find(known->second), answer);
}

void metadata_core::submit_all() {
  std::vector<request_id> ids;  // submit may settle
  for (const auto& [number, r] : requests_) ids.push_back(r.id);
  for (const auto id : ids)
    if (const auto known = numbers_.find(id); known != numbers_.end())
      role_->submit(id, requests_.at(known->second).envelope);
}

void metadata_core::barrier(std::chrono::milliseconds deadline, std::function<void(result<void>)> then) {
  const auto until = std::chrono::steady_clock::now() + deadline;
  std::unique_lock lock(door_mutex_);
  if (closed_) {
    lock.unlock();
    return then(error{errc::cancelled, "the metadata service of this node has stopped"});
  }
  asio::post(io, [this, until, then = std::move(then)]() mutable {
    if (stopping_) return then(error{errc::cancelled, "the metadata service of this node has stopped"});
    if (fenced_) return then(error{errc::aborted, "this node is fenced: " + fence_reason_});
    if (barriers_.size() >= barriers_max)
      return then(error{errc::resource_exhausted, "too many reads wait for the metadata"});
    const auto number = next_number_++;
    barriers_.emplace(number, waiting_barrier{until, std::move(then)});
    if (role_) role_->ask_barrier(number);
  });
}

void metadata_core::settle_barrier(std::uint64_t number, const result<void>& answer) {
  const auto at = barriers_.find(number);
  if (at == barriers_.end()) return;
  const auto then = std::move(at->second.then);
  barriers_.erase(at);
  then(answer);
}

std::function<void()> metadata_core::observe(metadata::service::observer f) {
  const std::lock_guard lock(observers_->mutex);
  const auto number = observers_->next++;
  observers_->list.emplace(number, std::move(f));
  return [shared = observers_, number] {
    const std::lock_guard inner(shared->mutex);
    shared->list.erase(number);
  };
}

void metadata_core::notify(log_index index, const metadata::command& what, const result<metadata::response>& answer) {
  const std::lock_guard lock(observers_->mutex);
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, f] : observers_->list) numbers.push_back(number);
  for (const auto number : numbers) {
    const auto at = observers_->list.find(number);
    if (at == observers_->list.end()) continue;
    const auto f = at->second;  // it may end itself
    f(index, what, answer, state);
  }
}

void metadata_core::set_leader(member_id id, std::string address) {
  const std::lock_guard lock(leader_mutex_);
  leader_ = id;
  leader_address_ = std::move(address);
}

std::pair<member_id, std::string> metadata_core::leader() const {
  const std::lock_guard lock(leader_mutex_);
  return {leader_, leader_address_};
}

void metadata_core::start(std::shared_ptr<metadata_role> role) {
  role_ = std::move(role);
  role_->start();
  submit_all();
  tick();
}

void metadata_core::close() {
  const std::lock_guard lock(door_mutex_);
  if (closed_) return;
  closed_ = true;
  asio::post(io, [this] {  // behind everything that was let in before
    stopping_ = true;
    timer_->cancel();
    if (role_) role_->stop();
    cancel_all(error{errc::cancelled, "the metadata service of this node has stopped"});
  });
}

void metadata_core::cancel_all(const error& why) {
  while (!requests_.empty()) finish(requests_.begin(), why);
  while (!barriers_.empty()) settle_barrier(barriers_.begin()->first, why);
}

void metadata_core::apply(log_index index, const metadata::envelope& what) {
  const bool repeated = state.answer_of(what.id) != nullptr;
  const auto answer = [&] {
    const std::unique_lock lock(mutex_);
    return state.apply(index, what);
  }();
  applied = index.value;
  applied_gauge_.set(static_cast<std::int64_t>(index.value));
  if (!repeated) notify(index, what.command, answer);
  settle(what.id, answer);
  role_->applied(index, what, answer, repeated);
}

void metadata_core::skip(log_index index) {
  {
    const std::unique_lock lock(mutex_);
    (void)state.apply(index, {});  // an envelope without id and with a noop changes nothing else
  }
  applied = index.value;
  applied_gauge_.set(static_cast<std::int64_t>(index.value));
}

void metadata_core::install(metadata::state fresh) {
  {
    const std::unique_lock lock(mutex_);
    state = std::move(fresh);
  }
  applied = state.applied().value;
  applied_gauge_.set(static_cast<std::int64_t>(state.applied().value));
  notify(state.applied(), metadata::noop{}, metadata::response{});
  std::vector<std::pair<request_id, result<metadata::response>>> known;
  for (const auto& [number, r] : requests_)
    if (const auto* answer = state.answer_of(r.id)) known.emplace_back(r.id, *answer);
  for (const auto& [id, answer] : known) settle(id, answer);
}

void metadata_core::look_for_fence() {
  const auto* me = state.find_member(options.self.member);
  if (me == nullptr || me->incarnation < options.self.incarnation) return;  // not registered yet
  if (me->incarnation > options.self.incarnation)
    return fence("a later start of its data directory is known, at " + me->address);
  if (me->state == member_state::dead) return fence("it was found dead: " + me->state_reason);
  if (me->state == member_state::left) return fence("it has left the cluster");
}

void metadata_core::fence(std::string reason) {
  if (fenced_ || stopping_) return;
  fenced_ = true;
  fence_reason_ = std::move(reason);
  acts_until_ns = 0;
  log.warning("metadata", "this node is fenced: " + fence_reason_);
  cancel_all(error{errc::aborted, "this node is fenced: " + fence_reason_});
  if (options.fenced) options.fenced(fence_reason_);
}

void metadata_core::note_lease(steady_time acts_until, const std::string& lost) {
  if (fenced_ || stopping_) return;
  acts_until_ns = acts_until.time_since_epoch().count();
  if (lost.empty() == !lease_lost_) return;
  lease_lost_ = !lost.empty();
  if (lease_lost_)
    log.warning("metadata", "this node leads no logs and runs no tasks until further notice: " + lost);
  else
    log.info("metadata", "this node has its lease again");
  if (options.lease_changed) options.lease_changed(lost);
}

error metadata_core::no_answer() const {
  const auto [id, address] = leader();
  if (connected)
    return {errc::unavailable, "no answer in time from the metadata's leader at " + address +
                                   "; whether the command was done is not known: repeat it with the same id"};
  return {errc::unavailable, address.empty()
                                 ? std::string("no node led the metadata in time (a majority of its voters is needed)")
                                 : "the metadata's leader at " + address + " could not be reached in time"};
}

void metadata_core::expire(steady_time now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    expired_counter_.add();
    finish(requests_.find(deadlines_.begin()->second), no_answer());
  }
  std::vector<std::uint64_t> late;
  for (const auto& [number, b] : barriers_)
    if (b.deadline <= now) late.push_back(number);
  for (const auto number : late) settle_barrier(number, no_answer());
}

void metadata_core::tick() {
  if (stopping_) return;
  const auto now = std::chrono::steady_clock::now();
  expire(now);
  role_->tick(now);
  timer_->expires_at(now + limits.tick);
  timer_->async_wait([this](const boost::system::error_code& ec) {
    if (!ec) tick();
  });
}

void metadata_core::register_self(std::function<void(result<std::string>)> then) {
  try_register(std::make_shared<std::function<void(result<std::string>)>>(std::move(then)));
}

void metadata_core::try_register(const std::shared_ptr<std::function<void(result<std::string>)>>& then) {
  auto who = options.who;
  who.id = options.self.member;
  who.incarnation = options.self.incarnation;
  propose(metadata::register_member{std::move(who)}, registration_, registration_deadline,
          [this, then](result<metadata::response> r) {
            if (r) return (*then)(r->text);
            if (r.error().code() == errc::unavailable) return try_register(then);
            (*then)(r.error());
          });
}

}  // namespace troupe::actors
