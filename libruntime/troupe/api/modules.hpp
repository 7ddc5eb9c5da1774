#pragma once
#include <troupe/api/json.hpp>
#include <troupe/api/list.hpp>
#include <troupe/base/schema.hpp>

namespace troupe::api {

struct module_parameter {
  std::string name;
  std::string about;
};
BOOST_DESCRIBE_STRUCT(module_parameter, (), (name, about))

/// One of several datasets that a job writes.
struct module_output {
  std::string name;
  std::vector<field> schema;
};
BOOST_DESCRIBE_STRUCT(module_output, (), (name, schema))

struct module_job {
  std::string name;
  data_format input_format = data_format::lines;
  std::vector<field> input_schema;
  data_format output_format = data_format::records;
  std::vector<field> output_schema;
  std::uint32_t stages = 1;
  std::vector<module_output> outputs{};        ///< empty: one, as above
  std::vector<module_parameter> parameters{};  ///< that `run` may give
};
BOOST_DESCRIBE_STRUCT(module_job, (),
                      (name, input_format, input_schema, output_format, output_schema, stages, outputs, parameters))

/// GET /api/v1/modules, an item; also the answer (201) to POST /api/v1/modules?name=NAME, whose body is the .so
struct module_info {
  std::string name;
  std::string hash;  ///< SHA-256 of the file
  std::string abi;
  std::uint64_t size_bytes = 0;
  timestamp loaded_at;
  std::vector<module_job> jobs;
  std::vector<std::string> nodes;  ///< names of those that hold the file
};
BOOST_DESCRIBE_STRUCT(module_info, (), (name, hash, abi, size_bytes, loaded_at, jobs, nodes))

}  // namespace troupe::api
