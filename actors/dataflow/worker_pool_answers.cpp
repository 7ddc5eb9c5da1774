#include <fcntl.h>
#include <sys/epoll.h>

#include <cerrno>
#include <troupe/sdk/abi.hpp>

#include "actors/dataflow/worker_pool_impl.hpp"

namespace troupe::actors {

using namespace dataflow;

namespace {

constexpr const char* nonsense = "its worker reported nonsense: its memory is damaged";

/// The digest of an attempt is over (partition, size, records, digest) of what it published, in order.
void add_to(digest128_stream& sum, const publish_chunk& what) {
  bytes line;
  append_le(line, what.partition);
  append_le(line, what.bytes);
  append_le(line, what.records);
  append_le(line, what.digest.low);
  append_le(line, what.digest.high);
  sum.update(line);
}

}  // namespace

void worker_pool_impl::answer(worker& w, const daemon_answer& what, const std::vector<int>& fds) {
  if (!send_packet(w.process.channel.get(), codec::encode(what), fds, false))
    condemn(w, failure_kind::worker_died, "its worker does not read its socket");
}

void worker_pool_impl::on_question(worker& w) {
  auto got = receive_packet(w.process.channel.get(), false);
  if (got && !got->closed && got->data.empty()) return;
  if (!got || got->closed) {
    // Its end is closed: it is dying (the process event will say of what), or user code closed it, and then it is of no
    // use any more.
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, w.process.channel.get(), nullptr);
    return kill_worker(w);
  }
  if (w.state == worker_state::ending) return;
  auto question = codec::decode<worker_question>(got->data, "question of a worker");
  if (!question || w.state != worker_state::busy || !w.task || w.task->wanted_chunk)
    return condemn(w, failure_kind::worker_died, nonsense);
  if (std::holds_alternative<need_settled>(*question)) return answer(w, settled{});
  if (const auto* published = std::get_if<publish_chunk>(&*question)) return on_publish(w, *published);
  if (w.task->verdict) return answer(w, stop_task{});
  if (const auto* chunk = std::get_if<need_chunk>(&*question)) {
    w.task->wanted_chunk = chunk->bytes_min;
    w.task->waiting_since = clock::now();
    return on_need_chunk(w);
  }
  on_need_inputs(w);
}

// Output

void worker_pool_impl::on_need_chunk(worker& w) {
  auto& task = *w.task;
  // Credit: a last stage runs no further ahead of the disk and the network than this.
  task.asked_store = !task.assignment.last_stage || task.outstanding_bytes < options_.output_window_bytes;
  if (!task.asked_store) return;
  blocks_.implementation().open_chunk(
      w.owner, *task.wanted_chunk,
      [self = weak_from_this(), owner = w.owner, serial = task.serial](result<chunk_grant> grant) {
        auto pool = self.lock();
        if (pool)
          pool->post(
              [raw = pool.get(), owner, serial, grant = std::move(grant)] { raw->on_chunk(owner, serial, grant); });
      });
}

void worker_pool_impl::on_chunk(owner_id owner, std::uint64_t serial, const result<chunk_grant>& grant) {
  // Who is gone by now had the chunk taken back with everything else.
  auto found = workers_.find(owner);
  if (found == workers_.end()) return;
  auto& w = *found->second;
  if (w.state != worker_state::busy || !w.task || w.task->serial != serial || !w.task->wanted_chunk) return;
  auto& task = *w.task;
  task.wanted_chunk.reset();
  if (!grant) {
    task.verdict =
        attempt_failure{failure_kind::engine, "no room for output: " + grant.error().message(), {}, 0, {}, {}};
    return answer(w, stop_task{});
  }
  const bool transient = grant->dedicated;
  chunk_given given{
      grant->chunk.value, grant->slab.value, grant->slab_size, grant->offset, grant->capacity, transient, false};
  std::vector<int> fds;
  if (transient || w.write_slabs.insert(grant->slab).second) {
    given.with_fd = true;
    fds.push_back(grant->write_fd);
  }
  if (!transient) w.write_slab_kept = grant->slab;
  answer(w, given, fds);
}

void worker_pool_impl::on_publish(worker& w, const publish_chunk& what) {
  auto& task = *w.task;
  auto& store = blocks_.implementation();
  if (task.verdict) return;  // its chunks are freed with the task
  if (what.partition >= task.assignment.partitions) return condemn(w, failure_kind::worker_died, nonsense);
  if (task.assignment.last_stage) {
    auto pin = store.publish_output(w.owner, chunk_id{what.chunk}, what.bytes, what.records, what.digest);
    if (!pin) return condemn(w, failure_kind::worker_died, nonsense);
    task.outstanding_bytes += what.bytes;
    struct lease {
      block_pin pin;
      std::weak_ptr<worker_pool_impl> pool;
      owner_id owner;
      std::uint64_t serial;
      lease(block_pin p, std::weak_ptr<worker_pool_impl> w, owner_id o, std::uint64_t s)
          : pin(std::move(p)), pool(std::move(w)), owner(o), serial(s) {}
      lease(const lease&) = delete;
      ~lease() {
        auto alive = pool.lock();
        if (alive)
          alive->post([raw = alive.get(), o = owner, s = serial, n = pin.ref().size] { raw->on_released(o, s, n); });
      }
    };
    output_chunk chunk{partition_index{what.partition}, pin->memory(), what.records, what.digest, nullptr};
    chunk.hold = std::make_shared<const lease>(*pin, weak_from_this(), w.owner, task.serial);
    later([o = task.observer, chunk = std::move(chunk)] { o->output(chunk); });
  } else if (auto ref = store.publish(w.owner, task.assignment.key, chunk_id{what.chunk},
                                      partition_index{what.partition}, what.bytes, what.records, what.digest);
             !ref) {
    if (ref.error().code() != errc::failed_precondition) return condemn(w, failure_kind::worker_died, nonsense);
    task.verdict = attempt_failure{failure_kind::cancelled, ref.error().message(), {}, 0, {}, {}};
    return;
  }
  add_to(task.digest, what);
  task.output_bytes += what.bytes;
  task.output_records += what.records;
}

void worker_pool_impl::on_released(owner_id owner, std::uint64_t serial, std::uint64_t bytes) {
  auto found = workers_.find(owner);
  if (found == workers_.end()) return;
  auto& w = *found->second;
  if (w.state != worker_state::busy || !w.task || w.task->serial != serial) return;
  w.task->outstanding_bytes -= bytes;
  if (w.task->wanted_chunk && !w.task->asked_store) on_need_chunk(w);
}

// Input

void worker_pool_impl::on_need_inputs(worker& w) {
  auto& task = *w.task;
  task.pins.clear();
  inputs_given page;
  std::vector<int> fds;
  std::vector<descriptor> files;
  std::size_t page_bytes = 0;
  const auto lost = [&](std::string why, std::optional<block_id> block) {
    task.verdict = attempt_failure{
        failure_kind::input_lost, std::move(why), {}, 0, static_cast<std::uint32_t>(task.next_item), block};
    answer(w, stop_task{});
  };
  const auto& inputs = task.assignment.inputs;
  while (task.next_item < inputs.size() && page.items.size() < inputs_per_page_max &&
         page_bytes < packet_bytes_max / 2) {
    if (const auto* file = std::get_if<segment_range>(&inputs[task.next_item])) {
      descriptor opened(::open(file->path.c_str(), O_RDONLY | O_CLOEXEC));
      if (!opened) return lost(error::from_errno("open segment", file->path, errno).message(), {});
      fds.push_back(opened.get());
      files.push_back(std::move(opened));
      page.items.emplace_back(segment_item{static_cast<std::uint32_t>(task.next_item), file->path, file->segment.value,
                                           file->from, file->to, file->segment_first_offset, file->input,
                                           static_cast<std::uint32_t>(file->format), file->edge});
      page_bytes += 64 + file->path.size();
      ++task.next_item;
      continue;
    }
    const auto& range = std::get<block_range>(inputs[task.next_item]);
    if (task.next_block == 0) task.next_offset = range.first_offset;
    if (task.next_block == range.blocks.size()) {
      task.next_block = 0;
      ++task.next_item;
      continue;
    }
    const auto& ref = range.blocks[task.next_block];
    auto pin = blocks_.pin(ref.id);
    if (!pin) return lost(pin.error().message(), ref.id);
    const auto& where = pin->where();
    block_item item{static_cast<std::uint32_t>(task.next_item),
                    ref,
                    where.slab.value,
                    where.file_size,
                    where.offset,
                    task.next_offset,
                    range.input,
                    range.format,
                    false,
                    where.transient,
                    range.edge};
    if (where.transient || w.read_slabs.insert(where.slab).second) {
      item.with_fd = true;
      fds.push_back(where.fd);
    }
    task.pins.push_back(std::move(*pin));
    if (range.format != TROUPE_SHUFFLE) task.next_offset += ref.records;
    page.items.emplace_back(std::move(item));
    page_bytes += 128;
    ++task.next_block;
  }
  answer(w, page, fds);
}

}  // namespace troupe::actors
