/** What a browser can compute on. */

/** What is used of a WebGPU adapter (https://www.w3.org/TR/webgpu/#gpuadapterinfo). */
interface Adapter {
  readonly info: {
    readonly vendor: string;
    readonly architecture: string;
    readonly description: string;
    /** It is a processor that plays a GPU. */
    readonly isFallbackAdapter?: boolean;
  };
}

interface Gpu {
  requestAdapter(options: { readonly powerPreference: 'high-performance' }): Promise<Adapter | null>;
}

/** How long the browser may take to find a GPU. */
const ADAPTER_MS = 10_000;

export type GpuSearch =
  | { readonly found: true; readonly name: string; readonly isSoftware: boolean }
  | { readonly found: false; readonly reason: string };

/** Looks for a GPU. Browsers show one on https and on this machine only. */
export async function findGpu(): Promise<GpuSearch> {
  const { gpu } = navigator as { readonly gpu?: Gpu };
  if (!gpu) {
    const reason = globalThis.isSecureContext
      ? 'this browser has no WebGPU'
      : 'browsers offer WebGPU over https and on localhost only';
    return { found: false, reason };
  }
  try {
    const late = new Promise<null>((resolve) => setTimeout(() => resolve(null), ADAPTER_MS));
    const adapter = await Promise.race([gpu.requestAdapter({ powerPreference: 'high-performance' }), late]);
    if (!adapter) return { found: false, reason: 'this browser finds no GPU' };
    const { info } = adapter;
    return { found: true, name: gpuName(info), isSoftware: info.isFallbackAdapter ?? isSoftware(info) };
  } catch (error) {
    return { found: false, reason: `WebGPU failed (${(error as Error).message})` };
  }
}

/** Older browsers do not say it. */
const isSoftware = ({ architecture, description }: Adapter['info']): boolean =>
  /swiftshader|llvmpipe|software|basic render/i.test(`${architecture} ${description}`);

/** Such as `nvidia ampere`; browsers tell little. */
export function gpuName({ vendor, architecture, description }: Adapter['info']): string {
  const words = description || [vendor, architecture].filter(Boolean).join(' ');
  return words.slice(0, 100) || 'unnamed GPU';
}
