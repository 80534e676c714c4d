// Arguments of JavaScript's, checked before anything is done with them, and failures as JavaScript's errors.
#pragma once

#include <napi.h>
#include <stdint.h>

#include <limits>
#include <memory>
#include <new>

#include "failure.h"
#include "frames.h"

namespace weft {

[[noreturn]] void raise(Napi::Env env, const DpdkFailure& failure);

/// Runs a control function: its failures become JavaScript's.
template <Napi::Value (*body)(const Napi::CallbackInfo&)>
Napi::Value guarded(const Napi::CallbackInfo& info) {
  try {
    return body(info);
  } catch (const DpdkFailure& failure) {
    raise(info.Env(), failure);
  } catch (const std::bad_alloc&) {
    raise(info.Env(), DpdkFailure("malloc", ENOMEM));
  }
}

constexpr uint32_t kWholeMax = std::numeric_limits<int32_t>::max();

uint32_t wholeNumber(Napi::Value value, const char* what, uint32_t max = kWholeMax);
Napi::Object objectOf(const Napi::CallbackInfo& info, size_t index, const char* what);

/// Members of an object.
uint32_t field(Napi::Object from, const char* name, uint32_t max = kWholeMax);
bool flag(Napi::Object from, const char* name);

/// Elements of an array over shared memory: any other could be detached under a pointer.
template <typename Element>
struct Elements {
  Element* data;
  uint32_t length;
};
Elements<uint8_t> sharedBytes(Napi::Value value, const char* what);
Elements<int32_t> sharedWords(Napi::Value value, const char* what);

void requireEal(Napi::Env env);
std::shared_ptr<Frames> framesFrom(Napi::Value value);
uint16_t portFrom(Napi::Value value);

}  // namespace weft
