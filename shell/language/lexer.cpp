#include <shell/language/lexer.hpp>

namespace troupe::shell {
namespace {

/// Reads characters one by one; both users (whole text, word under the cursor) look at the state that is left.
struct scanner {
  std::vector<command_line> commands{1};
  std::string word;
  std::size_t word_begins_at = 0;
  bool in_word = false;
  bool escaped = false;
  bool comment = false;
  char quote = 0;
  std::size_t quote_line = 0;
  std::size_t line = 1;

  void begin_word(std::size_t at) {
    if (!in_word) word_begins_at = at;
    in_word = true;
  }

  void end_word() {
    if (in_word) commands.back().words.push_back(std::move(word));
    word.clear();
    in_word = false;
  }

  void end_command(bool background) {
    end_word();
    commands.back().background = background;
    commands.emplace_back();
  }

  void take(char c, std::size_t at) {
    if (c == '\n') ++line;
    if (comment) {
      if (c != '\n') return;
      comment = false;
    }
    if (escaped) {
      escaped = false;
      if (c == '\n') return;  // a backslash before a new line joins the lines
      if (quote == '"' && c != '"' && c != '\\') word += '\\';
      begin_word(at);
      word += c;
    } else if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else if (c == '\\' && quote == '"') {
        escaped = true;
      } else {
        word += c;
      }
    } else {
      take_unquoted(c, at);
    }
  }

  void take_unquoted(char c, std::size_t at) {
    switch (c) {
      case '\'':
      case '"':
        begin_word(at);
        quote = c;
        quote_line = line;
        return;
      case '\\':
        // Not yet a word: it may join two lines.
        if (!in_word) word_begins_at = at;
        escaped = true;
        return;
      case ' ':
      case '\t':
      case '\r':
        end_word();
        return;
      case ';':
      case '\n':
        end_command(false);
        return;
      case '&':
        end_command(true);
        return;
      case '#':
        if (!in_word) {
          comment = true;
          return;
        }
        [[fallthrough]];
      default:
        begin_word(at);
        word += c;
    }
  }
};

scanner scan(std::string_view text) {
  scanner s;
  for (std::size_t at = 0; at < text.size(); ++at) s.take(text[at], at);
  return s;
}

}  // namespace

result<std::vector<command_line>> split_commands(std::string_view text) {
  auto s = scan(text);
  if (s.quote != 0)
    return error{errc::invalid_argument, std::string("the quote ") + s.quote + " opened in line " +
                                             std::to_string(s.quote_line) + " is never closed"};
  if (s.escaped) return error{errc::invalid_argument, "nothing follows the \\ at the end"};
  s.end_word();
  std::vector<command_line> out;
  for (auto& command : s.commands) {
    if (!command.words.empty()) {
      out.push_back(std::move(command));
    } else if (command.background) {
      return error{errc::invalid_argument, "there is no command before &"};
    }
  }
  return out;
}

bool is_incomplete(std::string_view text) {
  const auto s = scan(text);
  return s.quote != 0 || s.escaped;
}

open_word last_word(std::string_view text) {
  auto s = scan(text);
  open_word out;
  out.before = std::move(s.commands.back().words);
  out.text = std::move(s.word);
  out.begins_at = s.in_word ? s.word_begins_at : text.size();
  out.quote = s.quote;
  return out;
}

std::string as_typed(std::string_view word) {
  const auto plain = word.find_first_of(" \t\r\n'\"\\;&#") == std::string_view::npos;
  if (plain && !word.empty()) return std::string(word);
  std::string out = "'";
  for (const char c : word) {
    if (c == '\'')
      out += "'\\''";
    else
      out += c;
  }
  return out + "'";
}

}  // namespace troupe::shell
