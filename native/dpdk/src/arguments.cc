#include "arguments.h"

#include <rte_ethdev.h>
#include <string.h>

#include <cmath>
#include <string>

#include "eal.h"

namespace weft {
namespace {

template <typename Element>
Elements<Element> sharedArray(Napi::Value value, const char* what, napi_typedarray_type wanted) {
  napi_env env = value.Env();
  bool isTyped = false;
  napi_is_typedarray(env, value, &isTyped);
  napi_typedarray_type type = napi_int8_array;
  size_t length = 0, offset = 0;
  void* data = nullptr;
  napi_value buffer = nullptr;
  if (isTyped) napi_get_typedarray_info(env, value, &type, &length, &data, &buffer, &offset);
  bool isDetachable = true;
  if (isTyped) napi_is_arraybuffer(env, buffer, &isDetachable);
  if (!isTyped || type != wanted || isDetachable || length * sizeof(Element) > kWholeMax)
    throw Napi::TypeError::New(env, std::string(what) + " must be an array of the right type over a SharedArrayBuffer");
  return {static_cast<Element*>(data), static_cast<uint32_t>(length)};
}

}  // namespace

void raise(Napi::Env env, const DpdkFailure& failure) {
  Napi::Error error = Napi::Error::New(env, failure.what());
  const char* name = strerrorname_np(failure.error);
  error.Set("code", Napi::String::New(env, name == nullptr ? "EIO" : name));
  error.Set("errno", Napi::Number::New(env, failure.error));
  error.Set("syscall", Napi::String::New(env, failure.call));
  throw error;
}

uint32_t wholeNumber(Napi::Value value, const char* what, uint32_t max) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0) || number > max || number != std::floor(number))
    throw Napi::RangeError::New(value.Env(),
                                std::string(what) + " must be a whole number from 0 to " + std::to_string(max));
  return static_cast<uint32_t>(number);
}

Napi::Object objectOf(const Napi::CallbackInfo& info, size_t index, const char* what) {
  if (!info[index].IsObject()) throw Napi::TypeError::New(info.Env(), std::string(what) + " must be an object");
  return info[index].As<Napi::Object>();
}

uint32_t field(Napi::Object from, const char* name, uint32_t max) { return wholeNumber(from.Get(name), name, max); }

bool flag(Napi::Object from, const char* name) { return from.Get(name).ToBoolean(); }

Elements<uint8_t> sharedBytes(Napi::Value value, const char* what) {
  return sharedArray<uint8_t>(value, what, napi_uint8_array);
}

Elements<int32_t> sharedWords(Napi::Value value, const char* what) {
  return sharedArray<int32_t>(value, what, napi_int32_array);
}

void requireEal(Napi::Env env) {
  if (!isEalStarted()) raise(env, DpdkFailure("rte_eal_init", ENXIO, "DPDK is not started"));
}

std::shared_ptr<Frames> framesFrom(Napi::Value value) {
  auto frames = framesOf(wholeNumber(value, "frames"));
  if (frames == nullptr) throw Napi::RangeError::New(value.Env(), "these frames are gone");
  return frames;
}

uint16_t portFrom(Napi::Value value) {
  const uint32_t port = wholeNumber(value, "port", UINT16_MAX);
  if (!isEalStarted() || !rte_eth_dev_is_valid_port(static_cast<uint16_t>(port)))
    throw Napi::RangeError::New(value.Env(), "no such port");
  return static_cast<uint16_t>(port);
}

}  // namespace weft
