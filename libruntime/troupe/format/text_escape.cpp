#include <array>
#include <cstdint>
#include <troupe/base/bytes.hpp>
#include <troupe/base/utf8.hpp>
#include <troupe/format/record_text.hpp>

/// Strings as JSON, TSV, CSV and base64. Plain runs are found by a table and copied as one.
namespace troupe::format {
namespace {

constexpr std::array<std::uint8_t, 256> json_special = [] {
  std::array<std::uint8_t, 256> table{};
  for (std::size_t c = 0; c < 0x20; ++c) table[c] = 1;
  for (std::size_t c = 0x80; c < 0x100; ++c) table[c] = 2;
  table['"'] = table['\\'] = 1;
  return table;
}();

constexpr std::array<char, 256> tsv_escape = [] {
  std::array<char, 256> table{};
  table['\t'] = 't';
  table['\n'] = 'n';
  table['\r'] = 'r';
  return table;
}();

std::uint8_t octet(char c) noexcept { return static_cast<std::uint8_t>(c); }

void append_json_escape(bytes& out, char c) {
  switch (c) {
    case '"':
      out.append("\\\"");
      return;
    case '\\':
      out.append("\\\\");
      return;
    case '\b':
      out.append("\\b");
      return;
    case '\f':
      out.append("\\f");
      return;
    case '\n':
      out.append("\\n");
      return;
    case '\r':
      out.append("\\r");
      return;
    case '\t':
      out.append("\\t");
      return;
    default:
      break;
  }
  constexpr std::string_view digits = "0123456789abcdef";
  const char escape[] = {'\\', 'u', '0', '0', digits[octet(c) >> 4], digits[octet(c) & 15]};
  out.append(escape, sizeof escape);
}

}  // namespace

void append_json_string(bytes& out, bytes_view text) {
  out.push_back('"');
  const char* run = text.data();
  const char* at = run;
  const char* end = run + text.size();
  while (at != end) {
    const auto kind = json_special[octet(*at)];
    if (kind == 0) {
      ++at;
      continue;
    }
    if (kind == 2) {
      std::size_t bad = 0;
      if (const auto size = utf8_sequence(at, end, bad); size != 0) {
        at += size;
        continue;
      }
      out.append(run, at);
      out.append("\\ufffd");
      at += bad;
    } else {
      out.append(run, at);
      append_json_escape(out, *at++);
    }
    run = at;
  }
  out.append(run, end);
  out.push_back('"');
}

void append_tsv_cell(bytes& out, bytes_view text) {
  const char* run = text.data();
  const char* end = run + text.size();
  for (const char* at = run; at != end; ++at) {
    const char escape = tsv_escape[octet(*at)];
    if (escape == 0) continue;
    out.append(run, at);
    out.push_back('\\');
    out.push_back(escape);
    run = at + 1;
  }
  out.append(run, end);
}

void append_csv_cell(bytes& out, bytes_view text) {
  if (!text.empty() && text.find_first_of(",\"\r\n") == bytes_view::npos) {
    out.append(text);
    return;
  }
  out.push_back('"');
  for (;;) {
    const auto quote = text.find('"');
    out.append(text.substr(0, quote));
    if (quote == bytes_view::npos) break;
    out.append("\"\"");
    text.remove_prefix(quote + 1);
  }
  out.push_back('"');
}

void append_base64(bytes& out, bytes_view data) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::size_t i = 0;
  const auto put = [&](std::uint32_t group, std::size_t count) {
    char four[4] = {'=', '=', '=', '='};
    for (std::size_t k = 0; k < count; ++k) four[k] = digits[(group >> (18 - 6 * k)) & 63];
    out.append(four, 4);
  };
  for (; i + 3 <= data.size(); i += 3)
    put(static_cast<std::uint32_t>(octet(data[i]) << 16 | octet(data[i + 1]) << 8 | octet(data[i + 2])), 4);
  if (data.size() - i == 1) put(static_cast<std::uint32_t>(octet(data[i]) << 16), 2);
  if (data.size() - i == 2) put(static_cast<std::uint32_t>(octet(data[i]) << 16 | octet(data[i + 1]) << 8), 3);
}

}  // namespace troupe::format
