#pragma once
#include <stdexcept>
#include <string>
#include <troupe/sdk/abi.hpp>
#include <troupe/sdk/abi_tag.hpp>
#include <troupe/sdk/pipeline_sides.hpp>
#include <troupe/sdk/schema_bytes.hpp>
#include <vector>

/// From a pipeline to the C table that a worker runs (abi.hpp).
namespace troupe {

namespace sdk {

template <class Key, class Value>
schema pair_schema(const std::string& key_name, const std::string& value_name) {
  return {{field_of<Key>(key_name), field_of<Value>(value_name)}};
}
template <class Record>
schema written_schema(const std::string& key_name, const std::string& value_name) {
  if constexpr (described_struct<Record>)
    return schema_of<Record>();
  else if constexpr (is_pair<Record>::value)
    return pair_schema<typename Record::first_type, typename Record::second_type>(key_name, value_name);
  else
    return {{field_of<Record>(key_name)}};
}

/// What the datasets are that a pipeline reads.
struct input_table {
  std::vector<std::string> schemas;
  std::vector<troupe_input> inputs;  ///< by number
  std::uint32_t format = TROUPE_LINES;
  std::string schema;
  bool by_number = false;

  template <class... Sources>
  explicit input_table(type_list<Sources...>) {
    constexpr bool any = ((Sources::input == any_input) || ...);
    constexpr bool numbered = ((Sources::input != any_input) || ...);
    static_assert(!(any && numbered), "either every read_…() of a pipeline names its input by number, or none does");
    constexpr std::uint32_t count =
        numbered ? 1 + std::max({(Sources::input == any_input ? 0 : Sources::input)...}) : 0;
    static_assert(count <= 64, "a job reads at most 64 inputs");
    by_number = numbered;
    schemas.resize(std::max(count, 1U));
    std::vector<std::uint32_t> formats(schemas.size(), TROUPE_BYTES + 1);
    (add<Sources>(numbered ? Sources::input : 0, formats), ...);
    for (const auto f : formats)
      if (f > TROUPE_BYTES) throw std::logic_error("the pipeline's inputs are not numbered from 0 without a gap");
    format = formats[0];
    schema = schemas[0];
    if (numbered)
      for (std::size_t i = 0; i < schemas.size(); ++i)
        inputs.push_back({formats[i], schemas[i].data(), schemas[i].size()});
  }

 private:
  template <class Source>
  void add(std::uint32_t number, std::vector<std::uint32_t>& formats) {
    std::string bytes;
    if constexpr (Source::format == TROUPE_RECORDS)
      bytes = schema_bytes(schema_of<typename Source::input_type>());
    else
      bytes = schema_bytes({});
    if (formats[number] <= TROUPE_BYTES && (formats[number] != Source::format || schemas[number] != bytes))
      throw std::logic_error("the pipeline reads input " + std::to_string(number) + " as two different things");
    formats[number] = Source::format;
    schemas[number] = std::move(bytes);
  }
};

template <class Node>
plan_builder built_plan() {
  plan_builder builder;
  builder.add<stage_of<Node, record_sink<typename Node::record, true>, no_loop>>(0);
  return builder;
}

}  // namespace sdk

/// A named pipeline. TROUPE_JOB makes one and puts it into the module's table; tests may make their own. It stays where
/// it is for the life of the program.
class job {
 public:
  template <class Node>
  job(std::string name, const sdk::pipeline<Node>& described)
      : name_(std::move(name)),
        inputs_(typename Node::sources{}),
        output_schema_(sdk::written_schema<typename Node::record>(described.key_name, described.value_name)),
        output_bytes_(sdk::schema_bytes(output_schema_)),
        stages_(sdk::built_plan<Node>()) {
    table_ = {sizeof(troupe_job),
              static_cast<std::uint32_t>(stages_.stages().size()),
              name_.c_str(),
              inputs_.format,
              TROUPE_RECORDS,
              inputs_.schema.data(),
              inputs_.schema.size(),
              output_bytes_.data(),
              output_bytes_.size(),
              stages_.stages().data(),
              static_cast<std::uint32_t>(inputs_.inputs.size()),
              inputs_.inputs.data()};
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
  sdk::input_table inputs_;
  schema output_schema_;
  std::string output_bytes_;
  sdk::stage_table stages_;
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
