#include <algorithm>
#include <memory>
#include <string>
#include <support/catch.hpp>
#include <troupe/sdk/words.hpp>
#include <vector>

using namespace troupe;

namespace {

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> out;
  for (const auto word : words(text)) out.emplace_back(word);
  return out;
}

std::vector<std::string> split_simply(std::string_view text) {
  std::vector<std::string> out;
  std::string word;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) > 0x20) {
      word += c;
    } else if (!word.empty()) {
      out.push_back(std::move(word));
      word.clear();
    }
  }
  if (!word.empty()) out.push_back(word);
  return out;
}

}  // namespace

TEST_CASE("words: what stands between bytes up to 0x20") {
  using list = std::vector<std::string>;
  CHECK(split("") == list{});
  CHECK(split(std::string_view()) == list{});
  CHECK(split(" \t\r\n ") == list{});
  CHECK(split("one") == list{"one"});
  CHECK(split(" one  two\tthree\r") == list{"one", "two", "three"});
  CHECK(split(std::string_view("a\0b\x01"
                               "c\x7f\xc3\xa9",
                               8)) == list{"a", "b", "c\x7f\xc3\xa9"});
  CHECK(split(std::string(64, 'x')) == list{std::string(64, 'x')});
  CHECK(split(std::string(64, 'x') + " y") == list{std::string(64, 'x'), "y"});
  CHECK(split(std::string(1000, 'x')) == list{std::string(1000, 'x')});
}

TEST_CASE("words: every window border falls where it may") {
  // A word and a gap of every length around the 64 bytes that are looked at together, at several alignments.
  for (std::size_t before = 0; before < 70; ++before) {
    for (const std::size_t word : {1, 2, 31, 62, 63, 64, 65, 127, 128, 129}) {
      for (const std::size_t after : {0, 1, 2, 63, 64}) {
        const auto text =
            std::string(before, ' ') + std::string(word, 'w') + std::string(after, '\n') + (after != 0 ? "end" : "");
        const auto copy =
            std::make_unique<char[]>(text.size());  // exactly its size: AddressSanitizer sees a read too far
        std::copy(text.begin(), text.end(), copy.get());
        REQUIRE(split({copy.get(), text.size()}) == split_simply(text));
      }
    }
  }
}

TEST_CASE("words: agrees with a simple loop on anything") {
  std::uint64_t state = 42;
  const auto random = [&] { return (state = state * 6364136223846793005 + 1442695040888963407) >> 33; };
  for (int round = 0; round < 2000; ++round) {
    std::string text(random() % 300, '\0');
    for (auto& c : text) c = static_cast<char>(random() % 4 == 0 ? random() % 33 : random() % 256);
    REQUIRE(split(text) == split_simply(text));
  }
}
