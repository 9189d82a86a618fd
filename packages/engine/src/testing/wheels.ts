/** Wheels that look like TensorFlow's, without TensorFlow in them. */
import { zip } from './zip.ts';

const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';

export interface WheelOptions {
  readonly name?: string;
  readonly version?: string;
  readonly platform?: string;
  /** More files, or other contents. */
  readonly files?: Readonly<Record<string, string | Buffer>>;
}

/** What the binding needs of a wheel: libraries, which are none here, and headers. */
const needed = {
  'tensorflow/libtensorflow_cc.so.2': 'not a library',
  'tensorflow/libtensorflow_framework.so.2': 'not a library',
  'tensorflow/include/tensorflow/c/c_api.h': '',
  'tensorflow/include/tensorflow/c/eager/c_api.h': '',
};

export function wheel(options: WheelOptions = {}): Buffer {
  const {
    name = 'tensorflow_cpu',
    version = '2.21.0',
    platform = `manylinux_2_27_${machine}`,
    files = needed,
  } = options;
  const info = `${name}-${version}.dist-info`;
  return zip({
    'tensorflow/python/not_needed.py': 'pass',
    ...files,
    [`${info}/METADATA`]: `Metadata-Version: 2.4\nName: ${name}\nVersion: ${version}\nRequires-Dist: numpy>=1.26.0\nProvides-Extra: and-cuda\nRequires-Dist: nvidia-cublas-cu12<13.0,>=12.5.3.2; extra == "and-cuda"\n`,
    [`${info}/WHEEL`]: `Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp311-cp311-${platform}\n\n`,
  });
}
