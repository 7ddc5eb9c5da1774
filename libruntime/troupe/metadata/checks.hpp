#pragma once
#include <troupe/base/result.hpp>
#include <troupe/metadata/commands.hpp>

/// Validation of what a command brings along, before it reaches the state: bytes that decode may still hold rubbish (an
/// enum of 200, a schema a thousand levels deep). Pure functions of their arguments; every error is `invalid_argument`
/// with a sentence.
namespace troupe::metadata::checks {

inline constexpr std::size_t schema_fields_max = 1'000;
inline constexpr std::size_t schema_depth_max = 16;
inline constexpr std::size_t parameters_max = 64;
inline constexpr std::size_t parameters_bytes_max = 16 << 10;
inline constexpr std::size_t counters_max = 256;
inline constexpr std::size_t inputs_max = 64;
inline constexpr std::size_t outputs_max = 16;
inline constexpr std::size_t jobs_of_module_max = 64;
inline constexpr std::size_t text_bytes_max =
    4 << 10;  ///< reasons, messages: longer ones are cut, for they are not to blame

/// At most `text_bytes_max` bytes of it, cut at a character of UTF-8.
std::string shorten(std::string text);

result<void> format(data_format f);
result<void> schema(const troupe::schema& s, std::string_view what);
/// Whether records written by `has` can be read as `wants`: the same fields in order, as far as both go, and what only
/// `wants` has is optional.
result<void> readable_as(const troupe::schema& has, const troupe::schema& wants, std::string_view dataset,
                         std::string_view job);
result<void> address(std::string_view host_and_port);
result<void> module(const module_info& m);
result<void> parameters(const std::map<std::string, std::string>& p);
/// Whether the job takes them; the error names the nearest of those that it takes.
result<void> takes_parameters(const job_description& what, const std::map<std::string, std::string>& given);
/// Names for the datasets that a job writes: as many as it has outputs, each once.
result<void> output_names(const job_description& what, const std::string& first, const std::vector<std::string>& more);
/// Whether the outputs have the last stage's branches, all of them.
bool outputs_fit(const job_description& j);
result<void> counters(const std::map<std::string, std::int64_t>& c);

}  // namespace troupe::metadata::checks
