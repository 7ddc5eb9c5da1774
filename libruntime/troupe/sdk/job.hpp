#pragma once
#include <deque>
#include <map>
#include <stdexcept>
#include <string>
#include <troupe/sdk/abi.hpp>
#include <troupe/sdk/abi_tag.hpp>
#include <troupe/sdk/pipeline_iterate.hpp>
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

/// What a job writes: a dataset for each of its pipelines.
struct output_table {
  std::deque<std::string> names;
  std::deque<schema> schemas;
  std::deque<std::string> bytes;
  std::vector<troupe_output> outputs;

  void add(std::string name, schema of, std::uint32_t branches) {
    if (name.empty()) name = "output" + std::to_string(outputs.size() + 1);
    for (const auto& other : names)
      if (other == name) throw std::logic_error("two outputs of the job are called " + name);
    const auto& encoded = bytes.emplace_back(schema_bytes(of));
    schemas.push_back(std::move(of));
    outputs.push_back({names.emplace_back(std::move(name)).c_str(), encoded.data(), encoded.size(), branches});
  }
};

/// What a job takes.
struct parameter_table {
  std::map<std::string, std::string> all;
  std::vector<troupe_declared> declared;
  void close() {
    declared.reserve(all.size() + 1);  // not null, even where it takes none
    for (const auto& [name, about] : all) declared.push_back({name.c_str(), about.c_str()});
  }
};

/// Stands for the error that was told.
template <class Other>
struct told {
  static_assert(
      always_false<Other>,
      "a job is a whole pipeline, read_…() | map<M>() | … | write(), or several, and troupe::parameter(…): is "
      "write() missing?");
};

}  // namespace sdk

/// A parameter that a job takes, `run JOB … name=value`; about: for `explain`. Others are refused before the job
/// starts.
struct parameter {
  parameter(std::string its_name, std::string its_about) : name(std::move(its_name)), about(std::move(its_about)) {}
  std::string name;
  std::string about;
};

namespace sdk {

template <class T>
inline constexpr bool is_job_part = is_pipeline<T> || std::same_as<T, parameter>;

template <class... Lists>
struct nodes_of {
  using type = type_list<>;
};
template <class Node, class... Rest>
struct nodes_of<pipeline<Node>, Rest...> {
  using type = typename concat<type_list<Node>, typename nodes_of<Rest...>::type>::type;
};
template <class... Rest>
struct nodes_of<parameter, Rest...> : nodes_of<Rest...> {};

template <class List>
struct whole_job;
template <class... Nodes>
struct whole_job<type_list<Nodes...>> {
  using sources = typename concat<typename Nodes::sources...>::type;
  using code = last_stage_code<Nodes...>;
};

}  // namespace sdk

/// A named job: one pipeline, or one for each dataset that it writes, and the parameters that it takes. TROUPE_JOB
/// makes one and puts it into the module's table; tests may make their own. It stays where it is for the life of the
/// program.
class job {
 public:
  template <class... Parts>
  requires(sizeof...(Parts) > 0 && (sdk::is_job_part<Parts> && ...)) explicit job(std::string name,
                                                                                  const Parts&... parts)
      : job(std::move(name), typename sdk::whole_job<typename sdk::nodes_of<Parts...>::type>::sources{},
            built<typename sdk::whole_job<typename sdk::nodes_of<Parts...>::type>::code>()) {
    using code = typename sdk::whole_job<typename sdk::nodes_of<Parts...>::type>::code;
    const auto branches = code::branches();
    (add(parts, branches), ...);
    parameters_.close();
    const auto& first = outputs_.outputs.front();
    const bool several = outputs_.outputs.size() > 1;
    table_ = {sizeof(troupe_job),
              static_cast<std::uint32_t>(stages_.stages().size()),
              name_.c_str(),
              inputs_.format,
              TROUPE_RECORDS,
              inputs_.schema.data(),
              inputs_.schema.size(),
              first.schema,
              first.schema_size,
              stages_.stages().data(),
              static_cast<std::uint32_t>(inputs_.inputs.size()),
              inputs_.inputs.data(),
              several ? static_cast<std::uint32_t>(outputs_.outputs.size()) : 0,
              several ? outputs_.outputs.data() : nullptr,
              static_cast<std::uint32_t>(parameters_.declared.size()),
              parameters_.declared.data()};
  }
  /// A pipeline whose error was told already: nothing more is to be said.
  template <class... Parts>
  requires((sdk::is_broken<Parts> || ...)) explicit job(const std::string&, const Parts&...);
  template <class... Others>
  requires(!(sizeof...(Others) > 0 && (sdk::is_job_part<Others> && ...)) &&
           !(sdk::is_broken<Others> || ...)) explicit job(const std::string&, const Others&...)
      : job(sdk::told<sdk::type_list<Others...>>{}) {}
  job(const job&) = delete;
  job& operator=(const job&) = delete;

  [[nodiscard]] const troupe_job& table() const noexcept { return table_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// Of the first output, unless another is asked for.
  [[nodiscard]] const schema& output_schema(std::size_t output = 0) const { return outputs_.schemas.at(output); }

 private:
  template <class Code>
  static sdk::plan_builder built() {
    sdk::plan_builder builder;
    builder.add<Code>(0);
    return builder;
  }
  template <class... Sources>
  job(std::string name, sdk::type_list<Sources...> sources, const sdk::plan_builder& plan)
      : name_(std::move(name)), inputs_(sources), stages_(plan) {
    parameters_.all = plan.parameters();
  }
  template <class Other>
  explicit job(const sdk::told<Other>&);

  template <class Node>
  void add(const sdk::pipeline<Node>& written, const std::vector<std::uint32_t>& branches) {
    const auto number = outputs_.outputs.size();
    outputs_.add(written.output, sdk::written_schema<typename Node::record>(written.key_name, written.value_name),
                 branches[number]);
  }
  void add(const parameter& taken, const std::vector<std::uint32_t>&) {
    if (!parameters_.all.emplace(taken.name, taken.about).second)
      throw std::logic_error("job " + name_ + " declares parameter " + taken.name + " twice");
  }

  std::string name_;
  sdk::input_table inputs_;
  sdk::output_table outputs_;
  sdk::parameter_table parameters_;
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
/// namespace scope, once for each job. Behind the pipeline: others, for further datasets, and troupe::parameter("name",
/// "what it is for") for each parameter that it takes. `troupe_jobs::word_count` is then the job, for
/// troupe::testing::run.
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
