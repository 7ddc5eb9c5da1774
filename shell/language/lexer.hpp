#pragma once
#include <string>
#include <string_view>
#include <troupe/base/result.hpp>
#include <vector>

namespace troupe::shell {

/// One command as typed: its words with quotes taken off.
struct command_line {
  std::vector<std::string> words;
  bool background = false;  ///< ended with an unquoted &
};

/// Splits text into commands, as a POSIX shell quotes and ends them:
///   'everything as it is'   "all but \" and \\"   \x   # to the end of the line   ; or & or a new line ends a command
/// There are no variables and no patterns: $ and * are themselves. A quote without its end is an error that names its
/// line.
result<std::vector<command_line>> split_commands(std::string_view text);

/// True when `text` ends inside quotes or with a backslash: an interactive shell asks for more.
bool is_incomplete(std::string_view text);

/// The word under the cursor at the end of `text`, for completion: what is before it in its command, and its own text
/// so far without quotes.
struct open_word {
  std::vector<std::string> before;
  std::string text;
  std::size_t begins_at = 0;  ///< position in the text of its first character, an opening quote included
  char quote = 0;             ///< the quote it stands in: ' or " or 0
};
open_word last_word(std::string_view text);

/// The word as one would type it: quoted when it must be.
std::string as_typed(std::string_view word);

}  // namespace troupe::shell
