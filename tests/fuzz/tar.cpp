#include "tests/fuzz/tar.hpp"

#include <algorithm>
#include <cstdio>

namespace gorgone::fuzz {
namespace {

constexpr std::size_t block = 512;

// Old and new files, hard and soft links, devices, folders, a pipe, then what other formats add: long names and links of GNU, headers of
// pax for one member and for all, sparse files, and kinds that nobody knows.
constexpr char kinds[] = {'0', '\0', '1', '2', '3', '4', '5', '6', '7', 'L', 'K', 'x', 'g', 'S', 'D', 'V', 'Z'};

std::string with_outside(std::string_view text, const std::string& outside) {
  std::string out;
  for (char c : text) {
    if (c == '@')
      out += outside;
    else
      out += c;
  }
  return out;
}

void put(std::string& header, std::size_t at, std::size_t most, std::string_view text) {
  text = text.substr(0, most);
  std::copy(text.begin(), text.end(), header.begin() + static_cast<std::ptrdiff_t>(at));
}

void put_octal(std::string& header, std::size_t at, std::size_t digits, unsigned long number) {
  char text[32];
  std::snprintf(text, sizeof text, "%0*lo", static_cast<int>(digits), number);
  put(header, at, digits, text);
}

void put_checksum(std::string& header) {
  put(header, 148, 8, "        ");
  unsigned long sum = 0;
  for (char c : header) sum += static_cast<unsigned char>(c);
  put_octal(header, 148, 6, sum);
  header[154] = '\0';
}

}  // namespace

std::string make_tar(Input& input, const std::string& outside) {
  std::string tar;
  while (!input.at_end()) {
    std::string header(block, '\0');
    header[156] = kinds[input.below(sizeof kinds)];
    put_octal(header, 100, 7, input.number() & 07777777);
    const auto name = with_outside(input.text(), outside);
    const auto link = with_outside(input.text(), outside);
    const auto content = with_outside(input.text(), outside);
    put(header, 0, 100, name);
    if (name.size() > 100 && input.flag()) put(header, 345, 155, std::string_view(name).substr(100));
    put(header, 157, 100, link);
    put_octal(header, 108, 7, 0);
    put_octal(header, 116, 7, 0);
    put_octal(header, 124, 11, content.size());
    put_octal(header, 136, 11, 1'600'000'000);
    put(header, 257, 8, input.flag() ? std::string_view("ustar  \0", 8) : std::string_view("ustar\00000", 8));
    put_checksum(header);
    tar += header;
    tar += content;
    tar.append((block - content.size() % block) % block, '\0');
  }
  tar.append(2 * block, '\0');
  return tar;
}

}  // namespace gorgone::fuzz
