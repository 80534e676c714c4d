#include "addon.h"

#include <rte_version.h>

#include <string>
#include <vector>

#include "arguments.h"

namespace weft {
namespace {

Napi::Value version(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), rte_version()); }

Napi::Value start(const Napi::CallbackInfo& info) {
  if (!info[0].IsArray()) throw Napi::TypeError::New(info.Env(), "arguments must be an array of strings");
  const auto list = info[0].As<Napi::Array>();
  std::vector<std::string> arguments;
  for (uint32_t i = 0; i < list.Length(); i++) arguments.push_back(list.Get(i).ToString());
  startEal(arguments);
  return info.Env().Undefined();
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData<Thread>(new Thread);
  exports.Set("version", Napi::Function::New<guarded<version>>(env));
  exports.Set("start", Napi::Function::New<guarded<start>>(env));
  exportFrames(env, exports);
  exportDevices(env, exports);
  exportQueues(env, exports);
  return exports;
}

}  // namespace
}  // namespace weft

static Napi::Object initAddon(Napi::Env env, Napi::Object exports) { return weft::init(env, exports); }
NODE_API_MODULE(weft_dpdk, initAddon)
