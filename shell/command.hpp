#pragma once
#include <shell/failure.hpp>
#include <shell/language/arguments.hpp>
#include <string>
#include <vector>

namespace troupe::shell {

class session;

/// What a word of a command may be, for completion.
enum class word_kind { none, file, dataset, module, job_name, job_id, node, local_node, cluster, word, setting };

/// A word of the shell: everything that help, completion and the runner know of it.
struct command {
  std::string name{};     ///< «import», «module build»
  std::string group{};    ///< heading in `help`
  std::string usage{};    ///< «import SOURCE… to NAME»; options are added from the list below
  std::string summary{};  ///< half a line
  std::string help{};     ///< a paragraph; may be empty
  std::string example{};  ///< one or more lines
  std::vector<option> options{};
  std::size_t words_min = 0;
  std::size_t words_max = 0;
  word_kind completes = word_kind::none;  ///< its words (before `to`, if it has one)
  bool has_to = false;                    ///< completion offers `to`
  word_kind completes_after_to = word_kind::none;
  bool background = false;  ///< & makes sense
  outcome<void> (*run)(session&, const arguments&) = nullptr;
};

inline constexpr std::size_t any_number = 100'000;

/// All words, in the order of `help`.
const std::vector<command>& all_commands();

/// The command that `words` begin with («module build» before «module»), and how many words are its name; null when
/// there is none.
const command* find_command(const std::vector<std::string>& words, std::size_t& name_words);

/// The paragraph that `help WORD` and `WORD --help` print.
std::string help_text(const command& c);
/// What `help` alone prints.
std::string help_overview();

}  // namespace troupe::shell
