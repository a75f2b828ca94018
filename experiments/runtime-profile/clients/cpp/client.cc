// A client of an edge that works through a workload file and prints what it did, as one line of JSON.
//
//     client noop
//     client write|read|delete store WORKLOAD
//     client write|read|delete https WORKLOAD URL CA SECRET
//
// The same in C++, Go and Python: one connection, one request at a time, standard means of the language,
// which for HTTPS in C++ is libcurl. SECRET is a file with USER:PASSWORD. With store the keys go to an
// unordered_map in this process instead.

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

constexpr size_t chunks = 50;  // parts of a run that are timed one by one

using Clock = std::chrono::steady_clock;

std::runtime_error wrong(const std::string& why) { return std::runtime_error(why); }

int64_t since(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
}

// Crc32 is the IEEE checksum, eight bytes at a time ("slicing by 8", Kounavis and Berry, 2005).
class Crc32 {
 public:
  Crc32() {
    for (uint32_t i = 0; i < 256; i++) {
      uint32_t c = i;
      for (int bit = 0; bit < 8; bit++) c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
      table[0][i] = c;
    }
    for (size_t t = 1; t < table.size(); t++)
      for (uint32_t i = 0; i < 256; i++) table[t][i] = table[t - 1][i] >> 8 ^ table[0][table[t - 1][i] & 255];
  }

  // add returns the checksum of what crc is of, and of bytes behind it.
  uint32_t add(uint32_t crc, std::string_view bytes) const {
    const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
    size_t n = bytes.size();
    crc = ~crc;
    for (; n >= 8; n -= 8, p += 8) {
      crc ^= p[0] | p[1] << 8 | p[2] << 16 | static_cast<uint32_t>(p[3]) << 24;
      crc = table[7][crc & 255] ^ table[6][crc >> 8 & 255] ^ table[5][crc >> 16 & 255] ^ table[4][crc >> 24] ^
            table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
    }
    for (; n > 0; n--, p++) crc = crc >> 8 ^ table[0][(crc ^ *p) & 255];
    return ~crc;
  }

 private:
  std::array<std::array<uint32_t, 256>, 8> table;
};

struct Operation {
  std::string_view key, value;
};

// Workload is a workload file in memory; its operations point into it.
struct Workload {
  std::string bytes;
  std::vector<Operation> operations;
};

std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw wrong(path + ": it cannot be read");
  std::string bytes(static_cast<size_t>(file.tellg()), '\0');
  file.seekg(0);
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return bytes;
}

// word cuts off the next word, up to a separator.
std::string_view word(std::string_view& rest, char separator) {
  size_t end = rest.find(separator);
  if (end == std::string_view::npos) throw wrong("the workload file ends too early");
  std::string_view w = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return w;
}

size_t number(std::string_view digits) {
  size_t n = 0;
  auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
  if (problem != std::errc() || end != digits.data() + digits.size())
    throw wrong("the workload file has no number at " + std::string(digits));
  return n;
}

Workload load(const std::string& path) {
  Workload w{slurp(path), {}};
  std::string_view rest = w.bytes;
  if (word(rest, ' ') != "metronome-workload" || word(rest, ' ') != "1")
    throw wrong(path + ": no workload file of version 1");
  size_t count = number(word(rest, ' ')), size = number(word(rest, '\n'));
  if (rest.size() < size) throw wrong(path + ": it is cut off");
  std::string_view pool = rest.substr(rest.size() - size);
  w.operations.reserve(count);
  for (size_t i = 0; i < count; i++) {
    std::string_view key = word(rest, ' ');
    size_t offset = number(word(rest, ' ')), length = number(word(rest, '\n'));
    if (offset + length > size) throw wrong(path + ": a value lies outside");
    w.operations.push_back({key, pool.substr(offset, length)});
  }
  if (rest.size() != size) throw wrong(path + ": it has other bytes than it says");
  return w;
}

// Target is where the keys go.
class Target {
 public:
  virtual ~Target() = default;
  virtual void write(std::string_view key, std::string_view value) = 0;
  virtual std::string_view read(std::string_view key) = 0;  // valid until the next call
  virtual void erase(std::string_view key) = 0;
};

// Store is the language's own hash table.
class Store : public Target {
 public:
  void write(std::string_view key, std::string_view value) override {
    values[std::string(key)] = std::string(value);
  }
  std::string_view read(std::string_view key) override { return values.at(std::string(key)); }
  void erase(std::string_view key) override {
    if (values.erase(std::string(key)) == 0) throw wrong("delete: it is not there");
  }

 private:
  std::unordered_map<std::string, std::string> values;
};

// Edge is a key-value store behind HTTPS, over one connection that is kept.
class Edge : public Target {
 public:
  Edge(const std::string& url, const std::string& ca, const std::string& secret) : base(url + "/v1/kv/") {
    std::string credentials = slurp(secret);
    while (!credentials.empty() && credentials.back() == '\n') credentials.pop_back();
    if (curl == nullptr) throw wrong("libcurl does not start");
    set(CURLOPT_CAINFO, ca.c_str());
    set(CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    set(CURLOPT_USERPWD, credentials.c_str());
    set(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    set(CURLOPT_TIMEOUT, 60L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_USERAGENT, "metronome-profile");
    set(CURLOPT_WRITEFUNCTION, &Edge::take);
    set(CURLOPT_WRITEDATA, this);
    plain = curl_slist_append(nullptr, "Accept-Encoding: identity");
    typed = curl_slist_append(curl_slist_append(nullptr, "Accept-Encoding: identity"),
                              "Content-Type: application/octet-stream");
    typed = curl_slist_append(typed, "Expect:");  // never ask before sending
  }
  ~Edge() override {
    curl_slist_free_all(plain);
    curl_slist_free_all(typed);
    curl_easy_cleanup(curl);
  }
  Edge(const Edge&) = delete;
  Edge& operator=(const Edge&) = delete;

  void write(std::string_view key, std::string_view value) override {
    set(CURLOPT_POST, 1L);
    set(CURLOPT_CUSTOMREQUEST, "PUT");
    set(CURLOPT_POSTFIELDSIZE, static_cast<long>(value.size()));
    set(CURLOPT_POSTFIELDS, value.data());
    set(CURLOPT_HTTPHEADER, typed);
    perform("PUT", key, 201, 204);
  }
  std::string_view read(std::string_view key) override {
    set(CURLOPT_HTTPGET, 1L);
    set(CURLOPT_CUSTOMREQUEST, "GET");
    set(CURLOPT_HTTPHEADER, plain);
    perform("GET", key, 200, 200);
    return body;
  }
  void erase(std::string_view key) override {
    set(CURLOPT_HTTPGET, 1L);
    set(CURLOPT_CUSTOMREQUEST, "DELETE");
    set(CURLOPT_HTTPHEADER, plain);
    perform("DELETE", key, 204, 204);
  }

 private:
  template <typename T>
  void set(CURLoption option, T value) {
    if (CURLcode code = curl_easy_setopt(curl, option, value); code != CURLE_OK)
      throw wrong(std::string("libcurl: ") + curl_easy_strerror(code));
  }

  void perform(const char* method, std::string_view key, long right, long too) {
    body.clear();
    url.assign(base).append(key);
    set(CURLOPT_URL, url.c_str());
    if (CURLcode code = curl_easy_perform(curl); code != CURLE_OK)
      throw wrong(std::string(method) + " " + url + ": " + curl_easy_strerror(code));
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != right && status != too)
      throw wrong(std::string(method) + " " + url + ": " + std::to_string(status) + " " + body.substr(0, 200));
  }

  static size_t take(char* data, size_t one, size_t n, void* edge) {
    static_cast<Edge*>(edge)->body.append(data, one * n);
    return one * n;
  }

  CURL* curl = curl_easy_init();
  std::string base, url, body;
  curl_slist *plain = nullptr, *typed = nullptr;
};

const Crc32 crc32;

// work does operations from `from` up to `to` and returns the checksum so far.
uint32_t work(std::string_view verb, Target& target, const Workload& w, size_t from, size_t to, uint32_t crc) {
  for (size_t i = from; i < to; i++) {
    const auto& [key, value] = w.operations[i];
    crc = crc32.add(crc, key);
    if (verb == "write") {
      target.write(key, value);
      crc = crc32.add(crc, value);
    } else if (verb == "read") {
      crc = crc32.add(crc, target.read(key));
    } else {
      target.erase(key);
    }
  }
  return crc;
}

// run does all operations and tells when the first was done and when each part was.
std::string run(std::string_view verb, Target& target, const Workload& w) {
  size_t count = w.operations.size(), done = count > 0 ? 1 : 0;
  std::ostringstream marks;
  auto start = Clock::now();
  uint32_t crc = work(verb, target, w, 0, done, 0);
  int64_t first = since(start);
  for (size_t part = 1; part <= chunks; part++) {
    size_t end = std::max(done, count * part / chunks);
    crc = work(verb, target, w, done, end, crc);
    done = end;
    marks << (part > 1 ? "," : "") << since(start);
  }
  std::array<char, 16> sum{};
  std::snprintf(sum.data(), sum.size(), "%08x", crc);
  std::ostringstream report;
  report << ",\"operations\":" << count << ",\"checksum\":\"" << sum.data() << "\",\"first_ns\":" << first
         << ",\"marks_ns\":[" << marks.str() << "]";
  return report.str();
}

// peak is the peak resident memory in KiB, as the kernel counts it for this address space.
long peak() {
  std::ifstream status("/proc/self/status");
  for (std::string field; status >> field;)
    if (field == "VmHWM:") {
      long kib = 0;
      status >> kib;
      return kib;
    }
  return 0;
}

std::string profile(const std::vector<std::string>& arguments) {
  if (arguments.size() == 1 && arguments[0] == "noop") return ",\"operations\":0";
  bool local = arguments.size() == 3 && arguments[1] == "store";
  if (!local && !(arguments.size() == 6 && arguments[1] == "https"))
    throw wrong("write: noop | write|read|delete store WORKLOAD | ... https WORKLOAD URL CA SECRET");
  const std::string& verb = arguments[0];
  if (verb != "write" && verb != "read" && verb != "delete") throw wrong("unknown verb " + verb);
  auto begun = Clock::now();
  Workload w = load(arguments[2]);
  auto to_load = [&] { return ",\"load_ns\":" + std::to_string(since(begun)); };
  if (local) {
    Store store;
    if (verb != "write") work("write", store, w, 0, w.operations.size(), 0);
    std::string loaded = to_load();
    return loaded + run(verb, store, w);
  }
  Edge edge(arguments[3], arguments[4], arguments[5]);
  std::string loaded = to_load();
  return loaded + run(verb, edge, w);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    std::string report = profile({argv + 1, argv + argc});
    std::cout << "{\"runtime\":\"C++ " << __VERSION__ << ", " << LIBCURL_VERSION << "\"" << report
              << ",\"peak_kib\":" << peak() << "}\n";
    curl_global_cleanup();
  } catch (const std::exception& e) {
    std::cerr << e.what() << "\n";
    return 1;
  }
}
