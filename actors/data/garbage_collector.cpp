#include <actors/data/garbage_collector.hpp>
#include <algorithm>
#include <troupe/storage/segment_store.hpp>
#include <troupe/telemetry/log.hpp>

namespace troupe::data {

namespace asio = boost::asio;

garbage_collector::verdict garbage_collector::judge(segment_id id) const {
  if (context_->writing.count(id) != 0) return verdict::needed;
  const auto own = context_->self();
  return context_->parts.metadata.read([&](const metadata::state& s) {
    if (const auto* listed = s.find_segment(id)) {
      const bool held = std::find(listed->holders.begin(), listed->holders.end(), own) != listed->holders.end();
      const auto there =
          std::count_if(listed->holders.begin(), listed->holders.end(), [&](member_id h) { return s.is_live(h); });
      // What lies here uncounted (a copy that was taken off, or that an earlier start left open) may be the last good
      // one for as long as the segment has not the copies it should have; after that it is kept for a while.
      return held || there < s.find_dataset(*s.owner_of(id))->copies ? verdict::needed : verdict::unknown;
    }
    if (s.owner_of(id)) return verdict::needed;
    // Ids are never given twice: one that was given out and has no owner is of a dataset that was deleted.
    return s.was_given_out(id) ? verdict::let_go : verdict::unknown;
  });
}

garbage_collector::verdict garbage_collector::judge(const std::string& module_hash) const {
  return context_->parts.metadata.read([&](const metadata::state& s) {
    if (s.find_module(module_hash) != nullptr) return verdict::needed;
    for (const auto id : s.running_jobs())
      if (s.find_job(id)->module_hash == module_hash) return verdict::needed;
    return known_modules_.count(module_hash) != 0 ? verdict::let_go : verdict::unknown;
  });
}

template <class Key>
bool garbage_collector::is_due(verdict v, const Key& key, std::map<Key, transport::steady_time>& unknown_since) const {
  if (v == verdict::needed) {
    unknown_since.erase(key);
    return false;
  }
  if (v == verdict::let_go) return true;
  const auto now = std::chrono::steady_clock::now();
  return now - unknown_since.emplace(key, now).first->second >= context_->options.unknown_file_kept;
}

asio::awaitable<result<std::size_t>> garbage_collector::collect() {
  if (running_) co_return std::size_t{0};  // whoever asked will be told by the look that is under way, or by the next
  running_ = true;
  struct reset {
    bool& flag;
    ~reset() { flag = false; }
  } at_end{running_};

  auto& store = context_->parts.segments;
  auto& modules = context_->parts.modules;
  auto files_pending = context_->disk.run([&store] { return store.list(); });
  auto files = co_await std::move(files_pending);
  if (!files) co_return files.error();
  auto module_files_pending =
      context_->disk.run([&modules]() -> result<std::vector<std::string>> { return modules.list(); });
  auto module_files = co_await std::move(module_files_pending);
  if (!module_files) co_return module_files.error();
  auto caught_up = co_await context_->barrier(std::chrono::seconds(5));
  if (!caught_up) co_return caught_up.error();

  std::vector<segment_id> segments_due;
  for (const auto id : *files) {
    const auto v = judge(id);
    if (is_due(v, id, unknown_segments_)) segments_due.push_back(id);
  }
  std::vector<std::string> modules_due;
  for (const auto& hash : *module_files) {
    const auto v = judge(hash);
    if (is_due(v, hash, unknown_modules_)) modules_due.push_back(hash);
    if (v == verdict::needed) known_modules_.insert(hash);
  }
  // Nothing is remembered about files that are gone.
  std::erase_if(unknown_segments_,
                [&](const auto& e) { return !std::binary_search(files->begin(), files->end(), e.first); });
  std::erase_if(unknown_modules_, [&](const auto& e) {
    return !std::binary_search(module_files->begin(), module_files->end(), e.first);
  });
  std::erase_if(known_modules_,
                [&](const auto& e) { return !std::binary_search(module_files->begin(), module_files->end(), e); });
  if (segments_due.empty() && modules_due.empty()) co_return std::size_t{0};

  // While the disk is at it, no one may begin a file of these ids again.
  std::erase_if(segments_due, [&](segment_id id) { return !context_->writing.insert(id).second; });
  auto removed_pending = context_->disk.run([&store, &modules, segments_due, modules_due]() -> result<std::size_t> {
    std::size_t count = 0;
    for (const auto id : segments_due) count += store.remove(id) ? 1 : 0;
    for (const auto& hash : modules_due) count += modules.remove(hash) ? 1 : 0;
    return count;
  });
  auto removed = co_await std::move(removed_pending);
  for (const auto id : segments_due) context_->writing.erase(id);
  if (removed) {
    context_->count.files_collected.add(*removed);
    context_->parts.log.info("data", "removed " + std::to_string(*removed) + " files that metadata does not need");
  }
  co_return removed;
}

}  // namespace troupe::data
