#include <troupe/api/schema_text.hpp>

#include <array>
#include <boost/describe/enum_from_string.hpp>
#include <boost/describe/enum_to_string.hpp>
#include <cctype>
#include <utility>

namespace troupe::api {
namespace {

constexpr int schema_nesting_max = 16;  ///< as deep as a schema may be
constexpr std::size_t text_bytes_max = 256 << 10;

class reader {
 public:
  explicit reader(std::string_view text) : text_(text) {}

  result<std::vector<field>> whole() {
    TROUPE_TRY(auto fields, read_fields(0));
    skip_space();
    if (at_ != text_.size()) return expected("a comma, or the end");
    return fields;
  }

 private:
  result<std::vector<field>> read_fields(int depth) {
    std::vector<field> fields;
    do {
      field f;
      TROUPE_TRY(f.name, read_word("a field's name"));
      if (!take(':')) return expected("a colon and the type of field " + f.name);
      TROUPE_TRY_VOID(read_type(f, depth));
      fields.push_back(std::move(f));
    } while (take(','));
    return fields;
  }

  /// Fills in the type; the name stays with the outermost.
  result<void> read_type(field& f, int depth) {
    if (depth >= schema_nesting_max) return expected("fewer types within types: they are nested too deep");
    if (take('[')) {
      f.type = field_type::list;
      f.children.emplace_back();
      TROUPE_TRY_VOID(read_type(f.children[0], depth + 1));
      if (!take(']')) return expected("] after the type of the list's elements");
    } else if (take('{')) {
      f.type = field_type::record;
      TROUPE_TRY(f.children, read_fields(depth + 1));
      if (!take('}')) return expected("a comma, or } after the last field of the record");
    } else {
      TROUPE_TRY_VOID(read_scalar(f));
    }
    if (!take('?')) return ok();
    field inner{{}, f.type, std::move(f.children)};
    f.type = field_type::optional;
    f.children.clear();
    f.children.push_back(std::move(inner));
    return ok();
  }

  result<void> read_scalar(field& f) {
    constexpr std::array<std::pair<std::string_view, field_type>, 3> short_names{
        {{"bool", field_type::boolean}, {"int", field_type::int64}, {"float", field_type::float64}}};
    const auto begin = at_;
    TROUPE_TRY(const auto word, read_word("a type"));
    for (const auto& [name, type] : short_names) {
      if (word != name) continue;
      f.type = type;
      return ok();
    }
    if (boost::describe::enum_from_string(word.c_str(), f.type) && f.type < field_type::optional) return ok();
    at_ = begin;
    return expected(
        "a type (boolean, int8 to int64, uint8 to uint64, float32, float64, string, [TYPE] or {FIELD, …}; ? after it "
        "where it may be absent)");
  }

  result<std::string> read_word(std::string_view what) {
    skip_space();
    const auto begin = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 ||
                                  std::string_view("_-.").find(text_[at_]) != std::string_view::npos ||
                                  static_cast<unsigned char>(text_[at_]) >= 0x80))
      ++at_;
    if (begin == at_) return expected(what);
    return std::string(text_.substr(begin, at_ - begin));
  }

  bool take(char c) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void skip_space() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
  }

  error expected(std::string_view what) {
    skip_space();
    const auto found = at_ == text_.size() ? std::string("its end") : "\"" + std::string(text_.substr(at_, 20)) + "\"";
    return {errc::invalid_argument,
            "schema, character " + std::to_string(at_ + 1) + ": expected " + std::string(what) + ", found " + found};
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

result<schema> parse_schema(std::string_view text) {
  if (text.size() > text_bytes_max)
    return error{errc::invalid_argument, "schema: longer than " + std::to_string(text_bytes_max) + " bytes"};
  TROUPE_TRY(auto fields, reader(text).whole());
  return schema{std::move(fields)};
}

std::string type_text(const field& f) {
  switch (f.type) {
    case field_type::optional:
      return (f.children.empty() ? std::string() : type_text(f.children[0])) + "?";
    case field_type::list:
      return "[" + (f.children.empty() ? std::string() : type_text(f.children[0])) + "]";
    case field_type::record:
      return "{" + schema_text(schema{f.children}) + "}";
    default:
      return boost::describe::enum_to_string(f.type, "");
  }
}

std::string schema_text(const schema& s) {
  std::string out;
  for (const auto& f : s.fields) out += (out.empty() ? "" : ", ") + f.name + ":" + type_text(f);
  return out;
}

}  // namespace troupe::api
