package android.graphics;

/** ARGB pixels in memory; the methods that the printed code calls do what Android's do. */
public final class Bitmap {
    public enum Config { ALPHA_8, RGB_565, ARGB_4444, ARGB_8888, RGBA_F16, HARDWARE, RGBA_1010102 }

    private final int[] pixels;
    private final int width;
    private final int height;
    private final Config config;

    private Bitmap(int[] pixels, int width, int height, Config config) {
        this.pixels = pixels;
        this.width = width;
        this.height = height;
        this.config = config;
    }

    public static Bitmap createBitmap(int[] colors, int width, int height, Config config) {
        return new Bitmap(colors, width, height, config);
    }

    /** Turned clockwise by a multiple of 90 degrees, whole. */
    public static Bitmap createBitmap(
            Bitmap source, int x, int y, int width, int height, Matrix m, boolean filter) {
        if (x != 0 || y != 0 || width != source.width || height != source.height || m.degrees % 90 != 0) {
            throw new UnsupportedOperationException();
        }
        Bitmap turned = source;
        for (float left = m.degrees; left > 0; left -= 90) {
            int[] pixels = new int[width * height];
            for (int row = 0; row < turned.width; row++) {
                for (int column = 0; column < turned.height; column++) {
                    pixels[row * turned.height + column] =
                            turned.pixels[(turned.height - 1 - column) * turned.width + row];
                }
            }
            turned = new Bitmap(pixels, turned.height, turned.width, turned.config);
        }
        return turned;
    }

    public int getWidth() {
        return width;
    }

    public int getHeight() {
        return height;
    }

    public Config getConfig() {
        return config;
    }

    public Bitmap copy(Config config, boolean isMutable) {
        return new Bitmap(pixels.clone(), width, height, config);
    }

    public void getPixels(int[] into, int offset, int stride, int x, int y, int width, int height) {
        if (config == Config.HARDWARE) {
            throw new IllegalStateException("unable to getPixels(), pixel access is not supported on Config#HARDWARE bitmaps");
        }
        for (int row = 0; row < height; row++) {
            System.arraycopy(pixels, (y + row) * this.width + x, into, offset + row * stride, width);
        }
    }
}
