#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <troupe/base/result.hpp>
#include <troupe/base/schema.hpp>
#include <troupe/base/stages.hpp>
#include <vector>

namespace troupe::modules {

struct job_input {
  data_format format = data_format::lines;
  troupe::schema schema;
  friend bool operator==(const job_input&, const job_input&) = default;
};

/// One of several datasets that a job writes.
struct job_output {
  std::string name;
  troupe::schema schema;
  std::uint32_t branches = 1;  ///< of the last stage, in order
  friend bool operator==(const job_output&, const job_output&) = default;
};

struct job_parameter {
  std::string name;
  std::string about;
  friend bool operator==(const job_parameter&, const job_parameter&) = default;
};

/// What a module says about one of its jobs. The fields are those of metadata::job_description, by the same names.
struct job_info {
  std::string name;
  data_format input_format = data_format::lines;
  schema input_schema;  ///< empty unless the input's format is records
  data_format output_format = data_format::records;
  schema output_schema;
  std::uint32_t stages = 1;                                ///< how many
  std::vector<stage_shape> shape{};                        ///< of each
  std::vector<job_input> inputs{};                         ///< exactly these; empty: any number, as above
  std::vector<job_output> outputs{};                       ///< empty: one, as above
  std::optional<std::vector<job_parameter>> parameters{};  ///< none but these; absent: it does not say
  friend bool operator==(const job_info&, const job_info&) = default;
};

/// What a module says about itself.
struct module_description {
  std::string abi;  ///< its ABI tag; equal to sdk::abi_tag, or it would have been refused
  std::vector<job_info> jobs;
  friend bool operator==(const module_description&, const module_description&) = default;
};

/// The JSON that `troupe-worker --inspect` prints, on one line: `{"abi":…,"jobs":[{"name":…,…}]}`, or
/// `{"error":{"code":…,"message":…}}`.
std::string to_json(const module_description& description);
std::string to_json(const error& refused);

/// The other way. An `error` inside becomes that error; anything that is neither is `corrupted`.
result<module_description> parse_json(std::string_view text);

}  // namespace troupe::modules
