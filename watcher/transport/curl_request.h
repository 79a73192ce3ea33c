// One HTTP request as libcurl wants it: a policy for talking to API servers,
// in options.

#ifndef DYNAMIC_WEIGHT_WATCHER_TRANSPORT_CURL_REQUEST_H_
#define DYNAMIC_WEIGHT_WATCHER_TRANSPORT_CURL_REQUEST_H_

#include <curl/curl.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "watcher/transport/credential_files.h"
#include "watcher/transport/curl_upload.h"
#include "watcher/transport/http_transport.h"

namespace dynweight {

struct CurlEasyDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
using CurlEasy = std::unique_ptr<CURL, CurlEasyDeleter>;

struct CurlListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using CurlList = std::unique_ptr<curl_slist, CurlListDeleter>;

// An easy handle, and what it points into. The handle goes first.
struct CurlRequest {
  std::string body;
  bool http2 = false;  // and nothing else will do
  // What libcurl takes for the port of a channel, and what that is in truth; the
  // host of that.
  std::string channel_port, port, host;
  CurlList headers;
  CurlList connect_to;
  CurlUpload upload;
  CurlEasy easy;
};

// Sets everything but the callbacks that receive the answer. Unauthenticated:
// a credential can't be read. InvalidArgument: a bad URL or header.
// ResourceExhausted: no memory.
absl::Status PrepareCurlRequest(const HttpRequest& request,
                                CredentialFiles* files, CurlRequest* result);

// What went wrong, and the mend. `detail` is libcurl's CURLOPT_ERRORBUFFER.
// The text has no URL, user name or password in it, nor a number that
// changes from one attempt to the next. `request` is what failed.
absl::Status CurlError(CURLcode code, const std::string& detail,
                       const CurlRequest& request);
// The same in one word.
HttpFailure CurlFailure(CURLcode code, const CurlRequest& request);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TRANSPORT_CURL_REQUEST_H_
