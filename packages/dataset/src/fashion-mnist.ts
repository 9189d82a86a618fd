/** Facts about Fashion-MNIST: its four files, their sums, its classes, and where the public serves them. */

/** One kind of content in the four files of a dataset. */
export type FileRole = 'trainImages' | 'trainLabels' | 'testImages' | 'testLabels';

/** Size and sums of some bytes, in lower-case hexadecimal. */
export interface Sums {
  readonly bytes: number;
  readonly md5: string;
  readonly sha256: string;
}

/** One of the four files as it was published, compressed (`<name>.gz`) and not (`<name>`). */
export interface OriginalFile {
  readonly role: FileRole;
  /** Without `.gz`. */
  readonly name: string;
  readonly compressed: Sums;
  readonly plain: Sums;
}

export interface Originals {
  readonly files: readonly OriginalFile[];
  /** SHA-256 over train pixels, train labels, test pixels, test labels, without their headers. */
  readonly contentsSha256: string;
}

/** Height, width and channels of every image. */
export const IMAGE_SHAPE: readonly [height: number, width: number, channels: number] = [28, 28, 1];

/** Class names by label; from the table in the README of github.com/zalandoresearch/fashion-mnist. */
export const CLASS_NAMES: readonly string[] = [
  'T-shirt/top',
  'Trouser',
  'Pullover',
  'Dress',
  'Coat',
  'Sandal',
  'Shirt',
  'Sneaker',
  'Bag',
  'Ankle boot',
];

/** Public folders that serve the original files, in the order in which they are asked. */
export const PUBLIC_MIRRORS: readonly string[] = [
  'http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/',
  'https://storage.googleapis.com/tensorflow/tf-keras-datasets/',
  'https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/',
];

/** The published files. The MD5 sums of the `.gz` files are those in the README of the dataset's own repository. */
export const ORIGINALS: Originals = {
  files: [
    {
      role: 'trainImages',
      name: 'train-images-idx3-ubyte',
      compressed: {
        bytes: 26_421_880,
        md5: '8d4fb7e6c68d591d4c3dfef9ec88bf0d',
        sha256: '3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84',
      },
      plain: {
        bytes: 47_040_016,
        md5: 'f4a8712d7a061bf5bd6d2ca38dc4d50a',
        sha256: 'c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888',
      },
    },
    {
      role: 'trainLabels',
      name: 'train-labels-idx1-ubyte',
      compressed: {
        bytes: 29_515,
        md5: '25c81989df183df01b3e8a0aad5dffbe',
        sha256: 'a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845',
      },
      plain: {
        bytes: 60_008,
        md5: '9018921c3c673c538a1fc5bad174d6f9',
        sha256: 'bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9',
      },
    },
    {
      role: 'testImages',
      name: 't10k-images-idx3-ubyte',
      compressed: {
        bytes: 4_422_102,
        md5: 'bef4ecab320f06d8554ea6380940ec79',
        sha256: '346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073',
      },
      plain: {
        bytes: 7_840_016,
        md5: '8181f5470baa50b63fa0f6fddb340f0a',
        sha256: '5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b',
      },
    },
    {
      role: 'testLabels',
      name: 't10k-labels-idx1-ubyte',
      compressed: {
        bytes: 5_148,
        md5: 'bb300cfdad3c16e7a12a480ee83cd310',
        sha256: '67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5',
      },
      plain: {
        bytes: 10_008,
        md5: '15d484375f8d13e6eb1aabb0c3f46965',
        sha256: '0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34',
      },
    },
  ],
  contentsSha256: 'ca3ab2a37f845e1b8ae23cab1b51749a3011ba3bf1d9016176d75cbaabac376f',
};
