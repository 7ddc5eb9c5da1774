#include <actors/replication/log_links.hpp>
#include <algorithm>
#include <boost/asio/post.hpp>

/// What goes over the connections: replication's messages, calls and their answers.
namespace troupe::logs {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {
constexpr std::size_t queued_bytes_max = 64 << 20;  ///< of one connection
constexpr std::size_t queued_frames_max = 65'536;
constexpr std::size_t calls_pending_max = 16'384;
constexpr std::size_t part_bytes_max = 1 << 20;         ///< of an answer in one frame
constexpr std::size_t answer_bytes_max = 130ULL << 20;  ///< one batch may hold a record of 64 MiB
constexpr auto sweep_interval = 50ms;

std::uint32_t ms_until(transport::steady_time deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(left.count(), 0, 3'600'000));
}

error decode_failure(bytes_view body) {
  const auto told = codec::decode<failure>(body, "the failure of a call");
  if (!told) return told.error();
  const bool known = told->code > errc::none && told->code <= errc::internal;
  return {known ? told->code : errc::internal, told->message};
}
}  // namespace

bool log_links::push(session& s, outgoing o) {
  const auto size = o.head.size() + o.tail.size();
  if (s.closed || s.queue.size() >= queued_frames_max || s.queued_bytes + size > queued_bytes_max) return false;
  // Mostly nothing waits and the kernel has room: then no coroutine need be woken for it.
  if (s.queue.empty() && !s.writing) {
    const bytes_view pieces[2] = {o.head, o.tail.view()};
    if (s.stream.write_now(static_cast<std::uint16_t>(o.type), 0, std::span<const bytes_view>(pieces))) {
      if (s.stream.has_rest()) s.wake.cancel();
      return true;
    }
  }
  s.queued_bytes += size;
  s.queue.push_back(std::move(o));
  s.wake.cancel();
  return true;
}

void log_links::send(member_id to, const replication::message& what, lane by) {
  const auto at = sessions_.find({to, by});
  if (at == sessions_.end()) return;
  auto encoded = replication::encode_message(what);
  push(*at->second, {frame_type::message, std::move(encoded.head), std::move(encoded.tail)});
}

void log_links::call(member_id to, call_kind kind, bytes head, shared_bytes tail, steady_time deadline, answer then) {
  const auto own = with_.self;
  const auto fail = [&](error why) {
    asio::post(with_.io, [then = std::move(then), why = std::move(why)] { then(why); });
  };
  if (stopped_) return fail({errc::cancelled, "this node is stopping"});
  if (to == own) {
    head.append(tail.view());
    asio::post(with_.io, [self = shared_from_this(), own, kind, body = shared_bytes(std::move(head)), deadline,
                          then = std::move(then)]() mutable {
      self->with_.called(own, kind, std::move(body), deadline, std::move(then));
    });
    return;
  }
  const auto at = sessions_.find({to, lane::clients});
  if (at == sessions_.end())
    return fail({errc::unavailable, "there is no connection to the member that has to be asked"});
  if (pending_.size() >= calls_pending_max)
    return fail({errc::resource_exhausted, "too many requests to other members at once; try again later"});
  const auto number = ++last_call_;
  bytes framed = codec::encode(call_head{number, ms_until(deadline), kind});
  framed += head;
  if (!push(*at->second, {frame_type::call, std::move(framed), std::move(tail)}))
    return fail({errc::resource_exhausted, "too much waits to be sent to another member; try again later"});
  pending_.emplace(number, pending{at->second, deadline, std::move(then), {}});
  if (!std::exchange(sweeping_, true)) sweep();
}

/// Calls whose time is up.
void log_links::sweep() {
  if (stopped_ || pending_.empty()) {
    sweeping_ = false;
    return;
  }
  sweep_timer_.expires_after(sweep_interval);
  sweep_timer_.async_wait([self = shared_from_this()](const boost::system::error_code&) {
    if (self->stopped_) return;
    const auto now = std::chrono::steady_clock::now();
    std::vector<answer> late;
    for (auto i = self->pending_.begin(); i != self->pending_.end();) {
      if (i->second.deadline > now) {
        ++i;
        continue;
      }
      late.push_back(std::move(i->second.then));
      i = self->pending_.erase(i);
    }
    for (auto& then : late) then(error{errc::deadline_exceeded, "the member that was asked did not answer in time"});
    self->sweep();
  });
}

bool log_links::receive(session& s, transport::frame& f) {
  switch (static_cast<frame_type>(f.type)) {
    case frame_type::message: {
      auto m = replication::decode_message(std::make_shared<const bytes>(std::move(f.payload)));
      if (!m) {
        with_.log.warning("log", "a message that makes no sense: " + m.error().message());
        return false;
      }
      // Nobody speaks for somebody else.
      if (m->from.member != s.stream.peer().member) return false;
      with_.message(std::move(*m));
      return true;
    }
    case frame_type::call:
      return receive_call(s, f);
    case frame_type::answer:
      return receive_answer(s, f);
    case frame_type::hello:
      break;
  }
  with_.log.warning("log", "a frame of type " + std::to_string(f.type) + " where none of that kind may be");
  return false;
}

bool log_links::receive_call(session& s, transport::frame& f) {
  if (f.payload.size() < call_head::wire_bytes) return false;
  const auto head = codec::decode<call_head>(bytes_view(f.payload).substr(0, call_head::wire_bytes), "call");
  if (!head) return false;
  auto owner = std::make_shared<const bytes>(std::move(f.payload));
  const auto size = owner->size() - call_head::wire_bytes;
  const auto deadline = transport::after(std::chrono::milliseconds(head->time_left_ms));
  answer then = [weak = s.weak_from_this(), self = weak_from_this(), number = head->number](result<shared_bytes> said) {
    const auto over = weak.lock();
    const auto links = self.lock();
    if (!over || !links || over->closed) return;
    if (!said) {
      bytes out = codec::encode(answer_head{number, true, true});
      out += codec::encode(failure{said.error().code(), said.error().message().substr(0, 4096)});
      if (!links->push(*over, {frame_type::answer, std::move(out), {}})) links->lost(over);
      return;
    }
    for (std::size_t at = 0;;) {
      const auto part = std::min(part_bytes_max, said->size() - at);
      const bool last = at + part == said->size();
      if (!links->push(*over,
                       {frame_type::answer, codec::encode(answer_head{number, last, false}), said->part(at, part)}))
        return links->lost(over);  // half an answer is none
      at += part;
      if (last) return;
    }
  };
  with_.called(s.stream.peer().member, head->kind, {owner, call_head::wire_bytes, size}, deadline, std::move(then));
  return true;
}

bool log_links::receive_answer(session& s, transport::frame& f) {
  if (f.payload.size() < answer_head::wire_bytes) return false;
  const auto head = codec::decode<answer_head>(bytes_view(f.payload).substr(0, answer_head::wire_bytes), "answer");
  if (!head) return false;
  const auto at = pending_.find(head->number);
  if (at == pending_.end()) return true;  // its time was up
  auto& p = at->second;
  if (p.over.lock().get() != &s) return false;
  if (p.gathered.size() + f.payload.size() > answer_bytes_max) return false;
  p.gathered.append(f.payload, answer_head::wire_bytes);
  if (!head->last) return true;
  auto done = std::move(p);
  pending_.erase(at);
  if (head->failed)
    done.then(decode_failure(done.gathered));
  else
    done.then(shared_bytes(std::move(done.gathered)));
  return true;
}

}  // namespace troupe::logs
