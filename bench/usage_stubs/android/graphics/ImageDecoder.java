package android.graphics;

import android.content.ContentResolver;
import android.net.Uri;
import java.io.IOException;

public final class ImageDecoder {
    public abstract static class Source {}

    public static Source createSource(ContentResolver resolver, Uri uri) {
        return null;
    }

    public static Bitmap decodeBitmap(Source source) throws IOException {
        return null;
    }
}
