#pragma once
// Who may use the API: addresses, and name with password. Pure: no I/O, the clock is handed in. On the loop.

#include <gorgone/result.hpp>

#include <boost/asio/ip/address.hpp>

#include <array>
#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace gorgone::httpserver {

/// A network in CIDR notation, or one address: "10.0.0.0/8", "192.0.2.7", "2001:db8::/32".
class Subnet {
 public:
  static Result<Subnet> parse(std::string_view text);
  /// An IPv4 address that came over an IPv6 socket (::ffff:192.0.2.7) counts as IPv4.
  bool contains(const boost::asio::ip::address& address) const;

 private:
  std::array<unsigned char, 16> bytes_{};  // IPv4 as ::ffff:a.b.c.d, so that one comparison serves both
  unsigned bits_ = 0;
  bool is_v4_ = false;
};

bool contains(const std::vector<Subnet>& subnets, const boost::asio::ip::address& address);

/// The one name and password of Basic authentication; kept and compared as digests, in constant time.
class Credentials {
 public:
  Credentials(std::string_view user, std::string_view password);
  /// `header` is the value of Authorization.
  bool accept(std::string_view header) const;

 private:
  std::array<unsigned char, 32> digest_{};
};

/// Slows down guessing: the more wrong passwords came from an address, the later the next refusal is told.
class Guesses {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds first_delay{500}, longest_delay{5000};
  static constexpr std::chrono::seconds forgotten_after{300};
  static constexpr std::size_t most_addresses = 4096;

  static constexpr int most_delayed = 5;

  /// Counts a wrong password and says how long to wait before the refusal.
  std::chrono::milliseconds failed(const boost::asio::ip::address& address, Clock::time_point now);
  void succeeded(const boost::asio::ip::address& address);
  std::size_t size() const { return addresses_.size(); }

  /// A refusal that is being delayed, from its beginning to its end. The guesses outlive it.
  class Delayed {
   public:
    Delayed(Guesses& guesses, const boost::asio::ip::address& address);
    ~Delayed();
    Delayed(const Delayed&) = delete;
    Delayed& operator=(const Delayed&) = delete;

   private:
    Guesses& guesses_;
    std::map<boost::asio::ip::address, int>::iterator place_;
  };
  /// So many refusals of the address are being delayed that what else it sends is not even looked at: an answer at once, of whatever kind,
  /// would tell right from wrong as often as one likes.
  bool are_many(const boost::asio::ip::address& address) const;

 private:
  struct Entry {
    unsigned failures = 0;
    Clock::time_point last{};
  };
  void make_room(Clock::time_point now);

  std::map<boost::asio::ip::address, Entry> addresses_;
  std::map<boost::asio::ip::address, int> delayed_;  // of those that have some
};

/// Which refusals are told in the log: the first few of an address, of the first few addresses, in a span of time. The others are counted.
class ToldRefusals {
 public:
  using Clock = Guesses::Clock;
  static constexpr std::chrono::seconds span{10};
  static constexpr int most_of_address = 3;
  static constexpr std::size_t most_addresses = 20;

  struct Told {
    bool is_told = true;
    std::size_t silent = 0;  ///< refusals before this one, in a span that is over, that were not told
  };
  Told refused(const boost::asio::ip::address& address, Clock::time_point now);

 private:
  std::map<boost::asio::ip::address, int> addresses_;
  std::size_t silent_ = 0;
  Clock::time_point over_{};
};

}  // namespace gorgone::httpserver
