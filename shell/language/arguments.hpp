#pragma once
#include <map>
#include <optional>
#include <shell/failure.hpp>
#include <string>
#include <vector>

namespace troupe::shell {

/// An option of a command. `value` names what it takes («K», «FILE»); empty: a flag.
struct option {
  std::string name;  ///< «--copies»
  std::string value;
  std::string text;
};

/// What stood after a command's word, checked against its options.
struct arguments {
  std::vector<std::string> words;              ///< what is no option, in order
  std::map<std::string, std::string> options;  ///< by name; flags with an empty value
  bool background = false;
  bool help = false;  ///< --help was among them

  [[nodiscard]] bool has(const std::string& name) const { return options.contains(name); }
  [[nodiscard]] std::string get(const std::string& name, const std::string& otherwise = {}) const;
  /// An option as a number within [low, high]; nothing when it was not given.
  [[nodiscard]] outcome<std::optional<std::uint64_t>> number(const std::string& name, std::uint64_t low,
                                                             std::uint64_t high) const;
};

/// Reads words by a command's options, wherever they stand among the others; what follows `--` is no option.
outcome<arguments> read_arguments(const std::string& command, const std::vector<option>& options,
                                  std::vector<std::string> words);

/// Words before and after `to`. The second is empty when there is no `to`.
struct destination_split {
  std::vector<std::string> before;
  std::vector<std::string> after;
  bool has_to = false;
};
destination_split split_at_to(const std::vector<std::string>& words);

/// A number within [low, high], or a usage failure that names `what`.
outcome<std::uint64_t> read_number(const std::string& what, const std::string& text, std::uint64_t low,
                                   std::uint64_t high);

}  // namespace troupe::shell
