// See curl_upload.h.

#include "watcher/transport/curl_upload.h"

#include <algorithm>
#include <cstring>

namespace dynweight {

CURLcode CurlUpload::Set(CURL* easy, std::string_view begin) {
  easy_ = easy;
  waiting_ = std::string(begin);
  CURLcode code = curl_easy_setopt(easy, CURLOPT_POST, 1L);
  if (code == CURLE_OK) {
    code = curl_easy_setopt(easy, CURLOPT_READFUNCTION, &Read);
  }
  if (code == CURLE_OK) code = curl_easy_setopt(easy, CURLOPT_READDATA, this);
  return code;
}

bool CurlUpload::Add(std::string_view data) {
  if (waiting_.size() - sent_ + data.size() > kMaxWaitingBytes) return false;
  waiting_.erase(0, sent_);
  sent_ = 0;
  waiting_ += data;
  return true;
}

void CurlUpload::Resume() {
  if (!paused_) return;
  paused_ = false;
  curl_easy_pause(easy_, CURLPAUSE_CONT);
}

size_t CurlUpload::Read(char* buffer, size_t size, size_t n, void* self) {
  auto* upload = static_cast<CurlUpload*>(self);
  const size_t left = upload->waiting_.size() - upload->sent_;
  if (left == 0) {
    upload->paused_ = true;
    return CURL_READFUNC_PAUSE;
  }
  const size_t taken = std::min(left, size * n);
  std::memcpy(buffer, upload->waiting_.data() + upload->sent_, taken);
  upload->sent_ += taken;
  return taken;
}

}  // namespace dynweight
