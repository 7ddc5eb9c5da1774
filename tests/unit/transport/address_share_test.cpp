#include <support/catch.hpp>
#include <troupe/transport/address_share.hpp>
#include <troupe/transport/newcomers.hpp>
#include <vector>

using namespace troupe;
using namespace troupe::transport;

namespace {

boost::asio::ip::address at(const char* text) { return boost::asio::ip::make_address(text); }

/// Connections whose ends are noted in order.
struct crowd {
  explicit crowd(std::size_t per_address) : list(std::make_shared<newcomers>(per_address)) {}
  void come(const char* from, int number) {
    tickets.push_back(list->add(at(from), [this, number] { closed.push_back(number); }));
  }
  std::shared_ptr<newcomers> list;
  std::vector<std::shared_ptr<void>> tickets;
  std::vector<int> closed;
};

}  // namespace

TEST_CASE("addresses that are one: mapped IPv4, and all of one IPv6 network") {
  CHECK(share_key(at("10.0.0.5")) == share_key(at("::ffff:10.0.0.5")));
  CHECK(share_key(at("10.0.0.5")) != share_key(at("10.0.0.6")));
  CHECK(share_key(at("2001:db8:1:2::1")) == share_key(at("2001:db8:1:2:ffff::9")));
  CHECK(share_key(at("2001:db8:1:2::1")) != share_key(at("2001:db8:1:3::1")));
  for (const auto* local : {"127.0.0.1", "127.5.6.7", "::1", "::ffff:127.0.0.1"}) CHECK_FALSE(has_share(at(local)));
  for (const auto* other : {"10.0.0.5", "2001:db8::1", "::2"}) CHECK(has_share(at(other)));
}

TEST_CASE("an address beyond its share pushes out its own oldest, and nobody else") {
  crowd c(3);
  c.come("10.0.0.1", 1);
  for (int i = 10; i < 20; ++i) c.come("10.0.0.2", i);
  CHECK(c.closed == std::vector{10, 11, 12, 13, 14, 15, 16});
  CHECK(c.list->size() == 4);
  // One that has shown who it is gives its place back.
  c.tickets[8].reset();
  c.come("10.0.0.2", 20);
  CHECK(c.closed.size() == 7);
  c.come("10.0.0.2", 21);
  CHECK(c.closed.back() == 18);
  // The oldest of all go when there are too many of all.
  c.list->evict(1);
  CHECK(c.closed.back() == 1);
  c.list->evict(100);
  CHECK(c.list->size() == 0);
  // Nothing is left of those that went: the share is free.
  const auto before = c.closed.size();
  for (int i = 30; i < 33; ++i) c.come("10.0.0.2", i);
  CHECK(c.closed.size() == before);
}

TEST_CASE("loopback has no share of its own") {
  crowd c(3);
  for (int i = 0; i < 50; ++i) c.come(i % 2 == 0 ? "127.0.0.1" : "::1", i);
  CHECK(c.closed.empty());
  CHECK(c.list->size() == 50);
}

TEST_CASE("places for known clients: so many of all, so many of an address, any number of loopback") {
  address_shares places(6, 2);
  CHECK(places.take(at("10.0.0.1")));
  CHECK(places.take(at("10.0.0.1")));
  const auto third = places.take(at("10.0.0.1"));
  REQUIRE_FALSE(third);
  CHECK(third.error().code() == errc::resource_exhausted);
  CHECK(third.error().message().find("10.0.0.1 (at most 2)") != std::string::npos);
  CHECK(places.take(at("10.0.0.2")));
  for (int i = 0; i < 3; ++i) CHECK(places.take(at("127.0.0.1")));
  CHECK_FALSE(places.take(at("127.0.0.1")));
  CHECK_FALSE(places.take(at("10.0.0.3")));
  places.give(at("127.0.0.1"));
  CHECK_FALSE(places.take(at("10.0.0.1")));
  places.give(at("10.0.0.1"));
  CHECK(places.take(at("10.0.0.1")));
  CHECK(places.taken() == 5);
}
