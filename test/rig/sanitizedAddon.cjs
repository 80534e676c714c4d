// Preloaded into a node that runs under AddressSanitizer, its worker threads included: the addon over DPDK is the one with the sanitizer.
const open = process.dlopen;
const addon = process.env.WEFT_SANITIZED_ADDON;

process.dlopen = (module, path, ...rest) =>
  open.call(process, module, path.endsWith('native/dpdk/weft_dpdk.node') ? addon : path, ...rest);
