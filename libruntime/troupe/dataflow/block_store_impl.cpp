#include "troupe/dataflow/block_store_impl.hpp"

#include <algorithm>
#include <troupe/base/invariant.hpp>
#include <troupe/base/text.hpp>

#include "troupe/dataflow/block_store_section.hpp"

namespace troupe::dataflow {

namespace {

constexpr std::uint64_t alignment = 64;
constexpr std::size_t released_jobs_kept = 10'000;
/// Of one task at once, next to its slab: more open chunks than this is a module that never publishes.
constexpr std::uint64_t open_bytes_max = 256ULL << 20;

constexpr std::uint64_t aligned(std::uint64_t n) { return (n + alignment - 1) / alignment * alignment; }

}  // namespace

block_store_impl::block_store_impl(block_store_options options)
    : options_(std::move(options)),
      tokens_max_(std::max<std::uint64_t>(8, options_.budget_bytes / options_.slab_bytes)),
      reserve_(tokens_max_ / 4) {
  to_warm_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(options_.warm_slabs, tokens_max_));
}

block_store_impl::~block_store_impl() {
  TROUPE_INVARIANT(!disk_.joinable(), std::string("the disk thread still runs"));
}

// Slabs

bool block_store_impl::may_take(use purpose, std::uint64_t tokens) const {
  const auto mine = purpose == use::producing ? producing_ : receiving_;
  const auto others = purpose == use::producing ? receiving_ : producing_;
  return mine + tokens + std::max(others, reserve_) <= tokens_max_;
}

block_store_impl::slab_state* block_store_impl::acquire_slab(use purpose, std::uint64_t size, error& why, bool& wait) {
  const bool dedicated = size > options_.slab_bytes;
  const auto tokens = dedicated ? (size + options_.slab_bytes - 1) / options_.slab_bytes : 1;
  if (tokens > tokens_max_ - reserve_) {
    why = error{errc::resource_exhausted, "a chunk of " + format_bytes(size) +
                                              " does not fit into the block store's budget of " +
                                              format_bytes(tokens_max_ * options_.slab_bytes)};
    return nullptr;
  }
  if (!may_take(purpose, tokens)) {
    wait = true;
    return nullptr;
  }
  std::unique_ptr<slab> memory;
  if (!dedicated && !warm_.empty()) {
    memory = std::move(warm_.back());
    warm_.pop_back();
  } else {
    // Warm slabs hold memory that the budget promises to this one.
    while (!warm_.empty() && producing_ + receiving_ + warm_.size() + tokens > tokens_max_) warm_.pop_back();
    auto made = slab::make(slab_id{++last_id_}, dedicated ? (size + 4095) / 4096 * 4096 : options_.slab_bytes);
    if (!made) {
      why = made.error();
      return nullptr;
    }
    memory = std::move(*made);
  }
  (purpose == use::producing ? producing_ : receiving_) += tokens;
  auto& state = slabs_[memory->id()];
  state.memory = std::move(memory);
  state.purpose = purpose;
  state.tokens = tokens;
  state.dedicated = dedicated;
  state.used_at = ++clock_;
  return &state;
}

void block_store_impl::recycle_if_empty(section& in, slab_id id) {
  auto found = slabs_.find(id);
  if (found == slabs_.end()) return;
  auto& state = found->second;
  if (state.open_chunks != 0 || state.pins != 0 || !state.blocks.empty()) return;
  state.top = 0;
  if (state.current) return;
  (state.purpose == use::producing ? producing_ : receiving_) -= state.tokens;
  if (!state.dedicated && producing_ + receiving_ + warm_.size() < tokens_max_)
    warm_.push_back(std::move(state.memory));
  slabs_.erase(found);
  serve_waiters(in);
}

// Chunks

result<chunk_grant> block_store_impl::try_grant(use purpose, owner_id owner, std::uint64_t capacity, bool& wait) {
  auto& current = purpose == use::producing ? owners_[owner].current : receive_current_;
  slab_state* from = nullptr;
  if (auto found = slabs_.find(current);
      found != slabs_.end() && found->second.top + capacity <= found->second.memory->size())
    from = &found->second;
  if (from == nullptr) {
    error why;
    from = acquire_slab(purpose, capacity, why, wait);
    if (from == nullptr) return why;
    if (!from->dedicated) {
      // The old one has served: from now on it may be spilled.
      if (auto old = slabs_.find(current); old != slabs_.end()) old->second.current = false;
      current = from->memory->id();
      from->current = true;
    }
  }
  chunk_grant grant;
  grant.chunk = chunk_id{++last_id_};
  grant.slab = from->memory->id();
  grant.write_fd = from->memory->write_fd();
  grant.slab_size = from->memory->size();
  grant.offset = from->top;
  grant.capacity = capacity;
  grant.dedicated = from->dedicated;
  from->top += aligned(capacity);
  from->top = std::min(from->top, from->memory->size());
  ++from->open_chunks;
  from->used_at = ++clock_;
  chunks_[grant.chunk] = chunk_state{grant.slab, owner, grant.offset, capacity};
  if (purpose == use::producing) {
    auto& state = owners_[owner];
    state.open.insert(grant.chunk);
    state.open_bytes += capacity;
  }
  return grant;
}

void block_store_impl::ask(section& in, use purpose, owner_id owner, std::uint64_t capacity,
                           std::function<void(result<chunk_grant>)> callback) {
  auto& waiting = purpose == use::producing ? waiting_producers_ : waiting_receivers_;
  // Who came earlier is served earlier.
  bool wait = !waiting.empty();
  result<chunk_grant> answer = error{};
  if (!wait) answer = try_grant(purpose, owner, capacity, wait);
  if (!wait) {
    in.after([callback = std::move(callback), answer = std::move(answer)] { callback(answer); });
  } else if (waiting.size() >= options_.waiting_max) {
    in.after([callback = std::move(callback), n = waiting.size()] {
      callback(
          error{errc::resource_exhausted, std::to_string(n) + " requests wait for the block store's memory already"});
    });
  } else if (spill_error_.code() != errc::none && coldest() == slab_id{}) {
    in.after([callback = std::move(callback), why = spill_error_] { callback(why); });
  } else {
    waiting.push_back(waiter{owner, capacity, std::move(callback)});
  }
  if (wants_spill()) disk_wakes_.notify_all();
}

void block_store_impl::serve_waiters(section& in) {
  for (auto purpose : {use::producing, use::receiving}) {
    auto& waiting = purpose == use::producing ? waiting_producers_ : waiting_receivers_;
    while (!waiting.empty()) {
      bool wait = false;
      auto answer = try_grant(purpose, waiting.front().owner, waiting.front().size, wait);
      if (wait) break;
      in.after([callback = std::move(waiting.front().callback), answer = std::move(answer)] { callback(answer); });
      waiting.pop_front();
    }
  }
}

void block_store_impl::open_chunk(owner_id owner, std::uint64_t bytes_min,
                                  std::function<void(result<chunk_grant>)> callback) {
  section in(*this);
  if (bytes_min > chunk_capacity_max) {
    in.after([callback, bytes_min] {
      callback(error{errc::resource_exhausted, "a chunk of " + format_bytes(bytes_min) +
                                                   " was asked for; the limit is " + format_bytes(chunk_capacity_max)});
    });
    return;
  }
  const auto capacity = chunk_capacity(bytes_min);
  if (auto state = owners_.find(owner);
      state != owners_.end() && state->second.open_bytes + capacity > open_bytes_max) {
    in.after([callback, open = state->second.open_bytes] {
      callback(error{errc::resource_exhausted,
                     "the task holds " + format_bytes(open) + " in chunks that it has not published"});
    });
    return;
  }
  ask(in, use::producing, owner, capacity, std::move(callback));
}

void block_store_impl::cancel_wait(owner_id owner) {
  section in(*this);
  for (auto i = waiting_producers_.begin(); i != waiting_producers_.end();) {
    if (i->owner == owner)
      i = waiting_producers_.erase(i);
    else
      ++i;
  }
  serve_waiters(in);
}

/// Closes a chunk whose first `bytes` stay; what follows them goes back if nothing was handed out behind it.
block_store_impl::slab_state& block_store_impl::trim(const chunk_state& chunk, std::uint64_t bytes) {
  auto& state = slabs_.at(chunk.slab);
  if (state.top == std::min(chunk.offset + aligned(chunk.capacity), state.memory->size()))
    state.top = chunk.offset + aligned(bytes);
  --state.open_chunks;
  state.used_at = ++clock_;
  return state;
}

void block_store_impl::erase_chunk(section& in, chunk_id id, bool keep_bytes) {
  auto found = chunks_.find(id);
  const auto chunk = found->second;
  chunks_.erase(found);
  if (chunk.owner != owner_id{}) {
    auto& owner = owners_[chunk.owner];
    owner.open.erase(id);
    owner.open_bytes -= chunk.capacity;
  }
  if (!keep_bytes) {
    trim(chunk, 0);
    recycle_if_empty(in, chunk.slab);
  }
}

// Publishing

result<void> block_store_impl::begin_attempt(const attempt_key& attempt) {
  section in(*this);
  if (released_.contains(attempt.job))
    return error{errc::failed_precondition, "job " + to_string(attempt.job) + " has ended"};
  if (attempts_.contains(attempt)) return error{errc::already_exists, to_string(attempt) + " ran here already"};
  attempts_[attempt];
  jobs_[attempt.job].attempts.insert(attempt);
  return ok();
}

result<block_ref> block_store_impl::publish(owner_id owner, const attempt_key& attempt, chunk_id chunk,
                                            partition_index partition, std::uint64_t bytes, std::uint64_t records,
                                            const digest128& digest) {
  section in(*this);
  auto open = chunks_.find(chunk);
  if (open == chunks_.end() || open->second.owner != owner || owner == owner_id{})
    return error{errc::invalid_argument, "published a chunk that is not open"};
  if (bytes > open->second.capacity)
    return error{errc::invalid_argument, "published " + std::to_string(bytes) + " bytes of a chunk of " +
                                             std::to_string(open->second.capacity)};
  auto known = attempts_.find(attempt);
  if (known == attempts_.end() || known->second.finished) {
    erase_chunk(in, chunk, false);
    return error{errc::failed_precondition, to_string(attempt) + " was released"};
  }
  const auto from = open->second;
  erase_chunk(in, chunk, true);
  auto& state = trim(from, bytes);
  block_ref ref{block_id{++last_id_}, bytes, records, digest};
  blocks_[ref.id] = block_state{ref, attempt.job, from.slab, from.offset, nullptr};
  state.blocks.insert(ref.id);
  known->second.blocks[partition].push_back(ref.id);
  return ref;
}

result<block_pin> block_store_impl::publish_output(owner_id owner, chunk_id chunk, std::uint64_t bytes,
                                                   std::uint64_t records, const digest128& digest) {
  section in(*this);
  auto open = chunks_.find(chunk);
  if (open == chunks_.end() || open->second.owner != owner || owner == owner_id{})
    return error{errc::invalid_argument, "published a chunk that is not open"};
  if (bytes > open->second.capacity)
    return error{errc::invalid_argument, "published " + std::to_string(bytes) + " bytes of a chunk of " +
                                             std::to_string(open->second.capacity)};
  const auto from = open->second;
  erase_chunk(in, chunk, true);
  auto& state = trim(from, bytes);
  return pin_slab(state, block_ref{block_id{}, bytes, records, digest}, from.offset);
}

void block_store_impl::end_task(owner_id owner, bool keeps_slab) {
  section in(*this);
  auto found = owners_.find(owner);
  if (found == owners_.end()) return;
  while (!found->second.open.empty()) erase_chunk(in, *found->second.open.begin(), false);
  if (keeps_slab) return;
  const auto current = found->second.current;
  owners_.erase(found);
  if (auto state = slabs_.find(current); state != slabs_.end()) {
    state->second.current = false;
    recycle_if_empty(in, current);
  }
  if (wants_spill()) disk_wakes_.notify_all();
}

void block_store_impl::finish_attempt(const attempt_key& attempt) {
  section in(*this);
  if (auto found = attempts_.find(attempt); found != attempts_.end()) found->second.finished = true;
}

// Receiving

receive_buffer block_store_impl::make_receive_buffer(const chunk_grant& grant, std::uint64_t size) {
  struct holder {
    std::shared_ptr<block_store_impl> store;
    chunk_id chunk;
    ~holder() { store->abandon_received(chunk); }
  };
  receive_buffer buffer;
  buffer.data_ = slabs_.at(grant.slab).memory->data() + grant.offset;
  buffer.size_ = static_cast<std::size_t>(size);
  buffer.chunk_ = grant.chunk.value;
  buffer.store_ = this;
  buffer.hold_ = std::make_shared<holder>(shared_from_this(), grant.chunk);
  return buffer;
}

void block_store_impl::receive(std::uint64_t size, std::function<void(result<receive_buffer>)> callback) {
  section in(*this);
  if (size > chunk_capacity_max) {
    in.after([callback, size] {
      callback(error{errc::resource_exhausted, "a block of " + format_bytes(size) + " is above the limit of " +
                                                   format_bytes(chunk_capacity_max)});
    });
    return;
  }
  ask(in, use::receiving, owner_id{}, size, [this, size, callback = std::move(callback)](result<chunk_grant> grant) {
    if (!grant) return callback(grant.error());
    receive_buffer buffer;
    {
      section again(*this);
      buffer = make_receive_buffer(*grant, size);
    }
    callback(std::move(buffer));
  });
}

result<block_ref> block_store_impl::commit_received(chunk_id chunk, job_id job, std::uint64_t records,
                                                    const digest128& digest) {
  section in(*this);
  const auto from = chunks_.at(chunk);
  if (released_.contains(job)) return error{errc::failed_precondition, "job " + to_string(job) + " has ended"};
  erase_chunk(in, chunk, true);
  auto& state = trim(from, from.capacity);
  block_ref ref{block_id{++last_id_}, from.capacity, records, digest};
  blocks_[ref.id] = block_state{ref, job, from.slab, from.offset, nullptr};
  state.blocks.insert(ref.id);
  jobs_[job].received.insert(ref.id);
  return ref;
}

void block_store_impl::abandon_received(chunk_id chunk) {
  section in(*this);
  if (chunks_.contains(chunk)) erase_chunk(in, chunk, false);
}

// Letting go

void block_store_impl::erase_block(section& in, block_id id) {
  auto found = blocks_.find(id);
  if (found == blocks_.end()) return;
  const auto slab = found->second.slab;
  if (found->second.file) spilled_bytes_ -= found->second.ref.size;
  blocks_.erase(found);
  if (auto state = slabs_.find(slab); state != slabs_.end()) {
    state->second.blocks.erase(id);
    recycle_if_empty(in, slab);
  }
}

void block_store_impl::erase_attempt(section& in, const attempt_key& attempt) {
  auto found = attempts_.find(attempt);
  if (found == attempts_.end()) return;
  for (const auto& [partition, blocks] : found->second.blocks)
    for (auto block : blocks) erase_block(in, block);
  attempts_.erase(found);
}

void block_store_impl::release(job_id job) {
  section in(*this);
  if (released_.insert(job).second) released_order_.push_back(job);
  if (released_order_.size() > released_jobs_kept) {
    released_.erase(released_order_.front());
    released_order_.pop_front();
  }
  auto found = jobs_.find(job);
  if (found == jobs_.end()) return;
  for (const auto& attempt : found->second.attempts) erase_attempt(in, attempt);
  for (auto block : found->second.received) erase_block(in, block);
  jobs_.erase(found);
}

void block_store_impl::release_attempt(const attempt_key& attempt) {
  section in(*this);
  erase_attempt(in, attempt);
  if (auto job = jobs_.find(attempt.job); job != jobs_.end()) {
    job->second.attempts.erase(attempt);
    if (job->second.attempts.empty() && job->second.received.empty()) jobs_.erase(job);
  }
}

void block_store_impl::discard(const std::vector<block_ref>& blocks) {
  section in(*this);
  for (const auto& ref : blocks) {
    auto found = blocks_.find(ref.id);
    if (found == blocks_.end()) continue;
    auto job = jobs_.find(found->second.job);
    // What an attempt published is let go with the attempt only.
    if (job == jobs_.end() || job->second.received.erase(ref.id) == 0) continue;
    erase_block(in, ref.id);
  }
}

}  // namespace troupe::dataflow
