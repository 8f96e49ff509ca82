package android.app;

import android.content.ContentResolver;
import android.content.Context;
import android.content.Intent;
import android.content.res.AssetManager;
import android.os.Bundle;
import android.view.View;

public class Activity extends Context {
    @Override
    public AssetManager getAssets() {
        return null;
    }

    @Override
    public ContentResolver getContentResolver() {
        return null;
    }

    protected void onCreate(Bundle state) {}

    protected void onDestroy() {}

    protected void onActivityResult(int request, int code, Intent data) {}

    public void setContentView(View view) {}

    public void startActivityForResult(Intent intent, int request) {}

    public final void runOnUiThread(Runnable action) {}
}
