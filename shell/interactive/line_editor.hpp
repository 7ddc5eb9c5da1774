#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <shell/interactive/completion.hpp>
#include <string>

namespace troupe::shell {

/// Reads lines from a terminal with editing, history and completion: libedit behind three functions. One per process.
class line_editor {
 public:
  /// `completer` gets the text before the cursor.
  explicit line_editor(std::function<completion(std::string_view)> completer);
  ~line_editor();
  line_editor(const line_editor&) = delete;
  line_editor& operator=(const line_editor&) = delete;

  struct line {
    std::string text;          ///< without the new line
    bool interrupted = false;  ///< Ctrl-C: what was typed is void
  };
  /// Nothing at the end of input (Ctrl-D on an empty line).
  std::optional<line> read(const std::string& prompt);
  /// For the arrow keys and Ctrl-R.
  void remember(const std::string& text);

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace troupe::shell
