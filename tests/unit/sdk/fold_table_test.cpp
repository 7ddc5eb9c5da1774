#include <map>
#include <string>
#include <support/catch.hpp>
#include <troupe/sdk/fold_table.hpp>

using namespace troupe;

namespace {

template <class Table, class F>
void change(Table& table, std::string_view key, F&& f) {
  sdk::packed_key packed{};
  sdk::pack_key(key, packed);
  auto* slot = &table.find(packed);
  if (Table::is_empty(*slot)) {
    REQUIRE(table.has_room(packed));
    slot = &table.insert(*slot, packed, {});
  }
  f(slot->accumulator);
}

std::string key_of(int i) {
  return i % 3 == 0   ? std::to_string(i)
         : i % 3 == 1 ? "exactly 16 b" + std::to_string(1000 + i % 1000)
                      : "a long key, so that it lies outside " + std::to_string(i);
}

}  // namespace

TEST_CASE("fold_table: counts as a map does while it grows, and tells in order of arrival") {
  sdk::fold_table<std::uint64_t> table;
  table.limit(256 << 20);
  std::map<std::string, std::uint64_t> model;
  std::vector<std::string> order;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 150'000; i += round + 1) {
      const auto key = key_of(i);
      if (model[key] == 0) order.push_back(key);
      model[key] += static_cast<std::uint64_t>(i) + 1;
      change(table, key, [&](std::uint64_t& a) { a += static_cast<std::uint64_t>(i) + 1; });
    }
  }
  REQUIRE(table.size() == model.size());
  std::size_t at = 0;
  table.for_each(0, [&](const auto& slot) {
    REQUIRE(slot.key.view() == order[at++]);
    REQUIRE(slot.accumulator == model[std::string(slot.key.view())]);
  });
  CHECK(at == order.size());
  table.clear();
  CHECK(table.size() == 0);
  sdk::packed_key key{};
  sdk::pack_key("0", key);
  CHECK(sdk::fold_table<std::uint64_t>::is_empty(table.find(key)));
  change(table, "", [](std::uint64_t& a) { a = 7; });
  change(table, "", [](std::uint64_t& a) { CHECK(a == 7); });
}

TEST_CASE("fold_table: how many keys fit follows from the memory alone") {
  sdk::fold_table<std::uint64_t> fresh, used;
  used.limit(256 << 20);
  for (int i = 0; i < 300'000; ++i) change(used, std::to_string(i), [](std::uint64_t& a) { ++a; });
  used.clear();
  for (auto* table : {&fresh, &used}) {
    table->limit(1 << 20);
    std::uint64_t keys = 0;
    for (;; ++keys) {
      sdk::packed_key key{};
      const auto text = std::to_string(keys);
      sdk::pack_key(text, key);
      if (!table->has_room(key)) break;
      table->insert(table->find(key), key, 0);
    }
    CHECK(keys == table->entries_max());
    CHECK(keys == 4096);
  }
  // Long keys have a share of their own.
  fresh.clear();
  const std::string long_key(100'000, 'k');
  int stored = 0;
  for (;; ++stored) {
    sdk::packed_key key{};
    const auto text = long_key + std::to_string(stored);
    sdk::pack_key(text, key);
    if (!fresh.has_room(key)) break;
    fresh.insert(fresh.find(key), key, 0);
  }
  CHECK(stored == 2);
  CHECK(fresh.long_key_bytes() <= (1 << 20) / 4);
}

TEST_CASE("fold_table: accumulators with memory of their own are moved and destroyed") {
  sdk::fold_table<std::vector<std::string>> table;
  table.limit(64 << 20);
  for (int i = 0; i < 100'000; ++i)
    change(table, std::to_string(i % 40'000),
           [&](auto& list) { list.push_back("a string that is too long for the inside " + std::to_string(i)); });
  REQUIRE(table.size() == 40'000);
  std::size_t strings = 0;
  table.for_each(0, [&](const auto& slot) { strings += slot.accumulator.size(); });
  CHECK(strings == 100'000);
  table.clear();
  change(table, "again", [](auto& list) { CHECK(list.empty()); });
}
