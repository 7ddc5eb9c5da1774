#include <histedit.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <shell/display/table.hpp>
#include <shell/interactive/line_editor.hpp>
#include <shell/interrupts.hpp>

namespace troupe::shell {

struct line_editor::state {
  EditLine* editor = nullptr;
  ::History* history = nullptr;
  std::string printed_prompt;
  bool interrupted = false;
  std::function<completion(std::string_view)> completer;

  static state& of(EditLine* editor) {
    void* self = nullptr;
    ::el_get(editor, EL_CLIENTDATA, &self);
    return *static_cast<state*>(self);
  }

  static char* show_prompt(EditLine* editor) { return of(editor).printed_prompt.data(); }

  /// Ctrl-C: ends the line, and `read` says that it is void. (The terminal's own interrupt character is off while a
  /// line is edited.)
  static unsigned char on_interrupt(EditLine* editor, int) {
    of(editor).interrupted = true;
    std::fputs("^C\n", stdout);
    std::fflush(stdout);
    return CC_NEWLINE;
  }

  static unsigned char on_tab(EditLine* editor, int) {
    auto& self = of(editor);
    const auto* line = ::el_line(editor);
    const auto found = self.completer({line->buffer, static_cast<std::size_t>(line->cursor - line->buffer)});
    if (found.choices.empty() && found.insert.empty()) return CC_REFRESH_BEEP;
    if (!found.choices.empty()) {
      std::string out = "\n";
      std::size_t width = 0;
      for (const auto& choice : found.choices) width = std::max(width, display_width(choice) + 2);
      const std::size_t in_a_row = std::max<std::size_t>(1, 80 / width);
      for (std::size_t i = 0; i < found.choices.size(); ++i)
        out += found.choices[i] + (i + 1 == found.choices.size() || (i + 1) % in_a_row == 0
                                       ? "\n"
                                       : std::string(width - display_width(found.choices[i]), ' '));
      std::fputs(out.c_str(), stdout);
      std::fflush(stdout);
      return CC_REDISPLAY;
    }
    ::el_deletestr(editor, static_cast<int>(found.erase));
    ::el_insertstr(editor, found.insert.c_str());
    return CC_REFRESH;
  }
};

line_editor::line_editor(std::function<completion(std::string_view)> completer) : state_(std::make_unique<state>()) {
  state_->completer = std::move(completer);
  state_->history = ::history_init();
  HistEvent event{};
  ::history(state_->history, &event, H_SETSIZE, 10'000);
  ::history(state_->history, &event, H_SETUNIQUE, 1);
  auto* editor = state_->editor = ::el_init("troupe", stdin, stdout, stderr);
  ::el_set(editor, EL_CLIENTDATA, state_.get());
  ::el_set(editor, EL_PROMPT, &state::show_prompt);
  ::el_set(editor, EL_EDITOR, "emacs");
  ::el_set(editor, EL_SIGNAL, 0);
  ::el_set(editor, EL_HIST, &::history, state_->history);
  ::el_set(editor, EL_ADDFN, "troupe-complete", "completes a word", &state::on_tab);
  ::el_set(editor, EL_ADDFN, "troupe-interrupt", "gives the line up", &state::on_interrupt);
  ::el_set(editor, EL_BIND, "^I", "troupe-complete", nullptr);
  ::el_set(editor, EL_BIND, "^C", "troupe-interrupt", nullptr);
  ::el_set(editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  ::el_source(editor, nullptr);  // the user's ~/.editrc
  ::el_set(editor, EL_SETTY, "-d", "-isig", nullptr);
}

line_editor::~line_editor() {
  ::el_end(state_->editor);
  ::history_end(state_->history);
}

std::optional<line_editor::line> line_editor::read(const std::string& prompt) {
  state_->printed_prompt = prompt;
  state_->interrupted = false;
  int count = 0;
  // Before the prompt is shown: a Ctrl-D that is typed between the prompt and the terminal's change of mode is lost.
  ::el_set(state_->editor, EL_PREP_TERM, 1);
  const char* text = ::el_gets(state_->editor, &count);
  if (state_->interrupted) {
    interrupts::clear();
    return line{{}, true};
  }
  if (text == nullptr || count <= 0) return {};
  line out{std::string(text, static_cast<std::size_t>(count)), false};
  while (!out.text.empty() && (out.text.back() == '\n' || out.text.back() == '\r')) out.text.pop_back();
  return out;
}

void line_editor::remember(const std::string& text) {
  HistEvent event{};
  ::history(state_->history, &event, H_ENTER, text.c_str());
}

}  // namespace troupe::shell
