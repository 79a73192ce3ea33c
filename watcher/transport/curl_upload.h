// The body of a request that is written while the answer is read.

#ifndef DYNAMIC_WEIGHT_WATCHER_TRANSPORT_CURL_UPLOAD_H_
#define DYNAMIC_WEIGHT_WATCHER_TRANSPORT_CURL_UPLOAD_H_

#include <curl/curl.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace dynweight {

// Stays where it is while the handle lives. Not thread-safe.
class CurlUpload {
 public:
  // Most bytes that wait to be sent: a server that reads none is not well.
  static constexpr size_t kMaxWaitingBytes = 1 << 20;

  // Makes `easy` send what is in it, and wait for more where that is nothing.
  CURLcode Set(CURL* easy, std::string_view begin);
  // False: too much waits.
  bool Add(std::string_view data);
  // Goes on where it waits. Not from within a callback of libcurl.
  void Resume();

 private:
  static size_t Read(char* buffer, size_t size, size_t n, void* self);

  CURL* easy_ = nullptr;
  std::string waiting_;
  size_t sent_ = 0;      // of waiting_
  bool paused_ = false;  // libcurl asks no more until Resume()
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TRANSPORT_CURL_UPLOAD_H_
