package android.graphics;

/** Keeps what the printed code asks of it: a rotation. */
public class Matrix {
    float degrees;

    public boolean postRotate(float degrees) {
        this.degrees += degrees;
        return true;
    }
}
