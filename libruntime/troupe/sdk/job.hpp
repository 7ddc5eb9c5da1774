#pragma once
#include <cstdio>
#include <exception>
#include <string>
#include <troupe/sdk/abi.hpp>
#include <troupe/sdk/abi_tag.hpp>
#include <troupe/sdk/map_stage.hpp>
#include <troupe/sdk/reduce_stage.hpp>
#include <troupe/sdk/schema_bytes.hpp>
#include <vector>

/// From a pipeline to the C table that a worker runs (abi.hpp).
namespace troupe {

namespace sdk {

/// Runs f(port, user context) and turns whatever it throws into the table's answers. Exceptions never leave a module.
template <class F>
int guarded(const troupe_task* task, const troupe_host* host, troupe_failure* failed, bool has_offset, F&& f) noexcept {
  const auto fail = [&](const char* what) {
    std::snprintf(failed->message, sizeof failed->message, "%s", what);
    failed->has_offset = has_offset;
    failed->offset = has_offset && host->current_offset != nullptr ? *host->current_offset : 0;
    return 1;
  };
  if (host->size < sizeof(troupe_host) || task->size < sizeof(troupe_task))
    return fail("the worker's table is older than the module's: build the module again");
  try {
    host_port port(*host);
    context user(*task, *host);
    f(port, user);
    user.flush_counters();
    return 0;
  } catch (const stop_requested&) {
    return 0;
  } catch (const std::bad_alloc&) {
    return fail("out of memory");
  } catch (const std::exception& e) {
    return fail(*e.what() == 0 ? "an exception without words was thrown" : e.what());
  } catch (const char* text) {
    return fail(text);
  } catch (...) {
    return fail("something that is no std::exception was thrown");
  }
}

template <class Pipeline>
int map_entry(const troupe_task* task, const troupe_host* host, troupe_failure* failed) {
  return guarded(task, host, failed, true,
                 [&](host_port& port, context& user) { run_map<Pipeline>(*task, *host, port, user); });
}
template <class Pipeline>
int reduce_entry(const troupe_task* task, const troupe_host* host, troupe_failure* failed) {
  return guarded(task, host, failed, false, [&](host_port& port, context& user) {
    reduce_of<typename Pipeline::shuffle>::template run<Pipeline>(*task, port, user);
  });
}

template <class Key, class Value>
schema pair_schema(const std::string& key_name, const std::string& value_name) {
  return {{field_of<Key>(key_name), field_of<Value>(value_name)}};
}
template <class Key, class Value>
schema written_schema(const std::string& key_name, const std::string& value_name) {
  if constexpr (std::is_void_v<Value>)
    return schema_of<Key>();
  else
    return pair_schema<Key, Value>(key_name, value_name);
}

template <class Shuffle, class M>
struct output_of {  // no shuffle
  static schema get(const std::string& key, const std::string& value) {
    return written_schema<typename M::key_type, typename M::value_type>(key, value);
  }
};
template <class F, class M>
struct output_of<shuffle_fold<F>, M> {
  static schema get(const std::string& key, const std::string& value) {
    using accumulator = typename F::accumulator_type;
    if constexpr (requires(F f, const accumulator& a) { f.result(a); })
      return pair_schema<typename M::key_type,
                         std::remove_cvref_t<decltype(std::declval<F&>().result(std::declval<const accumulator&>()))>>(
          key, value);
    else
      return pair_schema<typename M::key_type, accumulator>(key, value);
  }
};
template <class R, class M>
struct output_of<shuffle_group<R>, M> {
  static schema get(const std::string& key, const std::string& value) {
    return written_schema<typename R::output_key_type, typename R::output_value_type>(key, value);
  }
};

}  // namespace sdk

/// A named pipeline. TROUPE_JOB makes one and puts it into the module's table; tests may make their own. It stays where
/// it is for the life of the program.
class job {
 public:
  template <class Source, class M, class Shuffle>
  job(std::string name, const sdk::pipeline<Source, M, Shuffle>& described) : name_(std::move(name)) {
    using whole = sdk::pipeline<Source, M, Shuffle>;
    output_schema_ = sdk::output_of<Shuffle, M>::get(described.key_name, described.value_name);
    output_bytes_ = sdk::schema_bytes(output_schema_);
    if constexpr (Source::format == TROUPE_RECORDS)
      input_bytes_ = sdk::schema_bytes(sdk::schema_of<typename Source::input_type>());
    else
      input_bytes_ = sdk::schema_bytes({});
    stages_[0] = {sizeof(troupe_stage), TROUPE_STAGE_MAP, &sdk::map_entry<whole>};
    if constexpr (Shuffle::stages == 2)
      stages_[1] = {sizeof(troupe_stage), TROUPE_STAGE_REDUCE, &sdk::reduce_entry<whole>};
    table_ = {sizeof(troupe_job),   Shuffle::stages,
              name_.c_str(),        static_cast<std::uint32_t>(Source::format),
              TROUPE_RECORDS,       input_bytes_.data(),
              input_bytes_.size(),  output_bytes_.data(),
              output_bytes_.size(), stages_};
  }
  template <class Other>
  job(std::string, const Other&) {
    static_assert(sdk::always_false<Other>, "a job is a whole pipeline: read_…() | map<M>() | … | write()");
  }
  job(const job&) = delete;
  job& operator=(const job&) = delete;

  [[nodiscard]] const troupe_job& table() const noexcept { return table_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const schema& output_schema() const noexcept { return output_schema_; }

 private:
  std::string name_;
  std::string input_bytes_;
  std::string output_bytes_;
  schema output_schema_;
  troupe_stage stages_[2]{};
  troupe_job table_{};
};

namespace sdk {

/// The jobs of this module, in the order in which they were made.
inline std::vector<const troupe_job*>& registered_jobs() {
  static std::vector<const troupe_job*> all;
  return all;
}
struct registration {
  explicit registration(const job& made) { registered_jobs().push_back(&made.table()); }
};

}  // namespace sdk
}  // namespace troupe

/// Puts a job into the module: `TROUPE_JOB(word_count, troupe::read_lines() | … | troupe::write("word", "count"));` at
/// namespace scope, once for each job. `troupe_jobs::word_count` is then the job, for troupe::testing::run.
#define TROUPE_JOB(job_name, ...)                                                       \
  namespace troupe_jobs {                                                               \
  inline const ::troupe::job job_name{#job_name, __VA_ARGS__};                          \
  static const ::troupe::sdk::registration troupe_registration_of_##job_name{job_name}; \
  }                                                                                     \
  static_assert(true)

/// The one symbol that a worker looks up. Inline, so that a module of several files has it once.
extern "C" __attribute__((visibility("default"), used)) inline const troupe_module* troupe_module_table() {
  static const troupe_module table{sizeof(troupe_module), TROUPE_ABI_VERSION, TROUPE_ABI_TAG,
                                   static_cast<std::uint32_t>(troupe::sdk::registered_jobs().size()),
                                   troupe::sdk::registered_jobs().data()};
  return &table;
}
