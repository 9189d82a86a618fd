/** Fashion-MNIST and its synthetic stand-in, as arrays that threads share. */
export { type ConfusionMapOptions, writeConfusionMap } from './confusion-map.ts';
export { type ContactSheetOptions, contactSheet, writeContactSheet } from './contact-sheet.ts';
export { classCounts, type ImageDataset, type Split } from './dataset.ts';
export type { DownloadProgress } from './download.ts';
export { CLASS_NAMES, IMAGE_SHAPE, PUBLIC_MIRRORS } from './fashion-mnist.ts';
export { reasonOf } from './http.ts';
export { type LoadOptions, loadDataset } from './load.ts';
export { cacheRoot } from './locate.ts';
export {
  type FetchedFile,
  type FetchOptions,
  type FetchResult,
  fetchDataset,
  type VerifiedFile,
  type VerifyOptions,
  type VerifyResult,
  verifyDataset,
} from './manage.ts';
export { claimPart, releasePart, removeAbandonedParts } from './part.ts';
export type { Photo } from './photo/background.ts';
export { type PreparedPicture, preparePicture } from './photo/prepare.ts';
export { readPhoto } from './photo/read.ts';
export { type PictureSheetOptions, type SheetPicture, writePictureSheet } from './picture-sheet.ts';
export { pictureStrip } from './picture-strip.ts';
export { DEFAULT_SYNTHETIC, type SyntheticOptions, syntheticDataset } from './synthetic.ts';
