package org.tensorflow.lite;

import java.nio.ByteBuffer;
import java.util.Map;

public final class Interpreter implements AutoCloseable {
    public static class Options {
        public Options setNumThreads(int numThreads) {
            return this;
        }
    }

    public Interpreter(ByteBuffer byteBuffer, Options options) {}

    public void run(Object input, Object output) {}

    public Tensor getOutputTensor(int outputIndex) {
        throw new UnsupportedOperationException();
    }

    public void runSignature(Map<String, Object> inputs, Map<String, Object> outputs) {}

    public String[] getSignatureKeys() {
        throw new UnsupportedOperationException();
    }

    public Tensor getOutputTensorFromSignature(String outputName, String signatureKey) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void close() {}
}
